"""
Tenants as an operator wants to see them: found by a bounded scan, what they have used, and what they take.

What is stored of a tenant has its name in braces. So one scan finds all of them, by the keys of configuration, usage
and cached values together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TypeVar

from django_upstash.connections import Connection, connections
from django_upstash.diagnostics.command_counter import Spending
from django_upstash.diagnostics.diagnosis import diagnose
from django_upstash.diagnostics.health_check import limited
from django_upstash.exceptions import ResponseError, UpstashError
from django_upstash.operations import Command, Operation, Reply, checked
from django_upstash.operations.key_kind import Kind
from django_upstash.operations.key_scan import START, glob, page
from django_upstash.operations.keys import glob_escape, percent_encoded
from django_upstash.tenants import maintenance
from django_upstash.tenants.batches import read
from django_upstash.tenants.maintenance import Measure
from django_upstash.tenants.places import Database, UsagePlace, ambiguous, database_of, without_doubles
from django_upstash.tenants.snapshots import Snapshot, read_record
from django_upstash.tenants.tenant_keys import check_name, space

Result = TypeVar("Result")
ENOUGH = 1_000
SAMPLE = 10


@dataclass
class Bounds:
    """How much a scan may still do: so many pages of keys, until a time of the steady clock."""

    pages: int
    deadline: float

    @classmethod
    def of(cls, pages: int, seconds: float) -> Bounds:
        return cls(pages, monotonic() + seconds)

    def take(self) -> bool:
        """Take one page; tell whether there was one left."""
        if self.pages <= 0 or monotonic() >= self.deadline:
            return False
        self.pages -= 1
        return True


@dataclass
class FoundTenants:
    """Names of tenants, sorted. ``cursor`` is where to go on, "0" when all keys have been looked at."""

    names: list[str] = field(default_factory=list)
    cursor: str = START
    pages: int = 0


@dataclass(frozen=True)
class Used:
    """What tenants have used, in the order they were asked for; None where that cannot be read."""

    amounts: list[dict[str, int] | None]
    keys: int  # in the whole database


@dataclass(frozen=True)
class Details:
    """What is stored of one tenant, None where it cannot be read; ``usage`` is by period, the latest first."""

    record: Snapshot | None
    usage: dict[str, dict[str, int] | None]


@dataclass
class Measurement:
    """What a tenant takes, by kind, and which servers could not be asked."""

    measures: list[Measure] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    requests: int = 0
    commands: int = 0

    @property
    def is_nothing(self) -> bool:
        """Whether all keys were looked at, and none is the tenant's."""
        return not self.failures and all(one.is_complete and not one.keys for one in self.measures)


def find_tenants(spending: Spending, alias: str, beginning: str, cursor: str, bounds: Bounds) -> FoundTenants:
    """Return the tenants of whom something is stored on a connection, whose names begin so."""
    kind = Kind(f"*{{{glob_escape(percent_encoded(beginning))}*}}*")
    found, names = FoundTenants(cursor=cursor), set[str]()
    while len(names) < ENOUGH and bounds.take():
        seen = spending.run(page(kind, found.cursor))
        found.pages += 1
        names.update(name for name in _tenants_of(alias, seen.keys) if name.startswith(beginning))
        found.cursor = seen.cursor or START
        if seen.cursor is None:
            break
    found.names = sorted(names)
    return found


def _tenants_of(alias: str, keys: Sequence[str]) -> Iterator[str]:
    home = space()
    here = (home.connection, connections[alias])
    for connection, beginning in maintenance.beginnings():
        if connection in here:
            yield from filter(is_name, maintenance.tenants_of(keys, beginning))


def is_name(name: str) -> bool:
    """Tell whether a tenant can be called so."""
    try:
        check_name(name)
    except ValueError:
        return False
    return True


def read_usage(names: Sequence[str], period: str) -> Operation[Used]:
    """Return the operation that reads what tenants have used in a period, one command for each and one beside."""
    asked = [read(space(), name, period) for name in names]

    def parse(replies: list[Reply]) -> Used:
        keys = checked(replies[:1])[0]
        return Used(_parsed(asked, replies[1:]), keys)

    return Operation([("DBSIZE",), *_commands(asked)], parse)


def read_details(name: str, periods: Sequence[str]) -> Operation[Details]:
    """Return the operation that reads what is stored of a tenant, one command for each period and one beside."""
    asked = [read(space(), name, period) for period in periods]
    record = read_record(space().record(name))

    def parse(replies: list[Reply]) -> Details:
        return Details(_readable(record, replies[0]), dict(zip(periods, _parsed(asked, replies[1:]), strict=True)))

    return Operation([*record.commands, *_commands(asked)], parse)


def is_empty(found: Details) -> bool:
    """Tell whether no configuration and no usage is stored; values in a cache may be, all the same."""
    record = found.record
    has_record = record is None or any((record.config, record.flags, record.switches, record.samples))
    return not has_record and not any(amounts != {} for amounts in found.usage.values())


def _commands(operations: Iterable[Operation[dict[str, int]]]) -> list[Command]:
    return [command for operation in operations for command in operation.commands]


def _parsed(asked: Sequence[Operation[dict[str, int]]], replies: list[Reply]) -> list[dict[str, int] | None]:
    return [_readable(operation, reply) for operation, reply in zip(asked, replies, strict=True)]


def _readable(operation: Operation[Result], reply: Reply) -> Result | None:
    """Return what the operation reads in the reply; None for what others have written in its place."""
    try:
        result = operation.parse([reply])
    except (ResponseError, ValueError):
        return None
    return None if isinstance(result, Operation) else result


def home_alias() -> str:
    """Return the alias of the tenants' connection; raise ``ImproperlyConfigured`` for wrong settings."""
    return space().settings.alias


def periods(count: int) -> list[str]:
    """Return the names of the last periods, the current one first; periods begin and end by UTC."""
    today = datetime.now(UTC).date()
    if space().settings.period == "day":
        return [f"{today - timedelta(days=back):%Y%m%d}" for back in range(count)]
    months = range(today.year * 12 + today.month - 1, 0, -1)[:count]
    return [f"{month // 12:04}{month % 12 + 1:02}" for month in months]


def measure(spending: Spending, name: str, bounds: Bounds, seconds: float) -> Measurement:
    """
    Return what a tenant takes, as far as the bounds let it be counted: one scan of each server, and sizes of a sample.

    ``spending`` is of the tenants' own connection; every request to another ends after so many seconds.
    """
    result, known = Measurement(), {space().connection: spending}

    def asking(connection: Connection) -> Spending:
        if connection not in known:
            known[connection] = _patient(connection, seconds)
        return known[connection]

    for connection, places in _by_connection(name, asking, result):
        asked = asking(connection)
        requests, commands = asked.requests, asked.commands
        try:
            result.measures += _measures(asked, name, places, bounds)
        except UpstashError as error:
            result.failures.append(str(diagnose(error, asked.connection.settings)))
        result.requests += asked.requests - requests
        result.commands += asked.commands - commands
    return result


def _patient(connection: Connection, seconds: float) -> Spending:
    settings = limited(connection.settings, min(seconds, connection.settings.timeout))
    return Spending(connections.for_settings(settings))


def _by_connection(
    name: str, asking: Callable[[Connection], Spending], result: Measurement
) -> list[tuple[Connection, list[UsagePlace]]]:
    """Return a tenant's places by connection, those of one database once."""
    found, places = dict[Connection, list[UsagePlace]](), maintenance.places(name)
    databases = dict[Connection, Database]()
    for connection in ambiguous(places):
        asked = asking(connection)
        requests, commands = asked.requests, asked.commands
        with suppress(UpstashError):  # it will be told of one that is away when its keys are to be counted
            databases[connection] = asked.run(database_of(connection))
        result.requests += asked.requests - requests
        result.commands += asked.commands - commands
    for place in without_doubles(places, databases):
        found.setdefault(place.connection, []).append(place)
    return list(found.items())


def _measures(spending: Spending, name: str, places: Sequence[UsagePlace], bounds: Bounds) -> list[Measure]:
    keys: dict[str, set[str]] = {place.name: set() for place in places}
    is_complete = _collect(spending, name, _sorter(places), keys, bounds)
    samples = {kind: sorted(found)[:SAMPLE] for kind, found in keys.items()}
    sizes = spending.run(_sizes([key for sample in samples.values() for key in sample]))
    return [Measure(kind, len(found), _total(found, samples[kind], sizes), is_complete) for kind, found in keys.items()]


def _collect(
    spending: Spending, name: str, kind_of: Callable[[str], str | None], keys: dict[str, set[str]], bounds: Bounds
) -> bool:
    """Sort the tenant's keys into kinds; tell whether all keys of the database were looked at."""
    wanted, cursor = Kind(f"*{glob_escape(percent_encoded(name))}*"), START
    while bounds.take():
        seen = spending.run(page(wanted, cursor))
        for key in seen.keys:
            if (kind := kind_of(key)) is not None:
                keys[kind].add(key)
        if seen.cursor is None:
            return True
        cursor = seen.cursor
    return False


def _sorter(places: Sequence[UsagePlace]) -> Callable[[str], str | None]:
    patterns = [(place.name, glob(place.kind.pattern), place.kind.belongs) for place in places]

    def kind_of(key: str) -> str | None:
        fitting = (kind for kind, pattern, belongs in patterns if pattern.fullmatch(key) and belongs(key))
        return next(fitting, None)

    return kind_of


def _sizes(keys: Sequence[str]) -> Operation[dict[str, int]]:
    """Return the operation that asks for the size of keys, which some servers do not tell."""

    def parse(replies: list[Reply]) -> dict[str, int]:
        return {key: size for key, size in zip(keys, replies, strict=True) if isinstance(size, int)}

    return Operation([("MEMORY", "USAGE", key) for key in keys], parse)


def _total(keys: set[str], sample: Sequence[str], sizes: dict[str, int]) -> int | None:
    told = [sizes[key] for key in sample if key in sizes]
    if not keys:
        return 0
    return round(sum(told) / len(told) * len(keys)) if told else None
