"""
A tenant's configuration and flags as this process knows them: read whole in one command, now and then.

While one caller reads, the others go on with what was read before; only those who have nothing wait. While the server
is away, what was read last goes on to serve, however old.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import monotonic
from types import MappingProxyType
from typing import Any, cast

from django_upstash.connections import Connection
from django_upstash.exceptions import DataError, ServerAwayError, UpstashError
from django_upstash.forks import ForkSafeLock, PerConnection
from django_upstash.log import get_logger
from django_upstash.operations import Command, Operation, Reply, only
from django_upstash.operations.single_flight import SingleFlight
from django_upstash.operations.steps import Flow, Run
from django_upstash.tenants.flag_rules import Flag, check_percent, flag_from_json
from django_upstash.tenants.loops import is_in_event_loop
from django_upstash.tenants.tenant_keys import Space, space

CONFIG, FLAG, SWITCH, SAMPLE = "config", "flag", "switch", "sample"
logger = get_logger("django_upstash.tenants")


def _frozen() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Snapshot:
    """What was stored of one tenant at one moment."""

    config: Mapping[str, Any] = field(default_factory=_frozen)
    flags: Mapping[str, Flag] = field(default_factory=_frozen)
    switches: Mapping[str, bool] = field(default_factory=_frozen)
    samples: Mapping[str, float] = field(default_factory=_frozen)


def stored_field(kind: str, name: str) -> str:
    """Return the field of a record for a name of this kind; raise ``TypeError`` for a name that is no text."""
    if not isinstance(name, str):
        raise TypeError(f"A name must be text, not {type(name).__name__}.")
    return f"{kind} {name}"


def read_record(key: str) -> Operation[Snapshot]:
    """Return the operation that reads a record."""
    return Operation((("HGETALL", key),), lambda replies: _parsed(only(replies)))


class SnapshotRecord:
    """One tenant's snapshot in this process."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self._read_at = float("-inf")
        self._changes = 0
        self._lock = ForkSafeLock()
        self._readings: SingleFlight[None] = SingleFlight()

    def is_fresh(self, seconds: float) -> bool:
        return monotonic() - self._read_at < seconds

    def expire(self) -> None:
        """Let the next one who asks read again, and not share what is being read now."""
        with self._lock:
            self._changes += 1
            self._read_at = float("-inf")
            self._readings.forget()

    def read(self, home: Space, tenant: str) -> Flow[Snapshot]:
        """Return the snapshot, fresh where the server answers; raise the failure where nothing was ever read."""
        while not self.is_fresh(home.settings.refresh):
            reading = self._readings.begin()
            if reading is not None:
                try:
                    yield from self._ask(home, tenant)
                finally:
                    reading.set_result(None)
                break
            if self.snapshot is not None:
                break
            going = self._readings.latest
            if going.running() and not (yield _Arrival(going, 2 * home.connection.settings.timeout)):
                yield from self._ask(home, tenant)
                break
        return cast(Snapshot, self.snapshot)

    def _ask(self, home: Space, tenant: str) -> Flow[Any]:
        connection = home.connection
        began, changes = monotonic(), self._changes
        try:
            if not connection.availability.may_ask():
                raise ServerAwayError()
            found = yield Run(connection, read_record(home.record(tenant)))
        except DataError:
            raise
        except UpstashError as error:
            if self.snapshot is None:
                raise
            if not isinstance(error, ServerAwayError):
                logger.warning("Configuration and flags of a tenant stay as they were read last: %s", error)
        else:
            self._take(found, began, changes)

    def _take(self, found: Snapshot, began: float, changes: int) -> None:
        with self._lock:
            if self._changes == changes:
                self.snapshot, self._read_at = found, began
            elif self.snapshot is None:
                self.snapshot = found  # old already, and better than nothing


@dataclass(frozen=True)
class _Arrival:
    """Wait until somebody has read, for so many seconds at most; tell whether that was possible."""

    flight: Future[None]
    seconds: float

    def do(self) -> bool:
        if is_in_event_loop():
            return False  # the one who reads may be a task that waits for this very thread
        try:
            self.flight.result(self.seconds)
        except TimeoutError:
            return False  # such as in a signal handler, of the thread that reads
        return True

    async def ado(self) -> bool:
        done, _ = await asyncio.wait({asyncio.wrap_future(self.flight)}, timeout=self.seconds)
        return bool(done)


class Records:
    """The snapshots of one connection's tenants, of whom those asked for longest ago are forgotten first."""

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self.after_fork()

    def after_fork(self) -> None:
        self._by_key: OrderedDict[str, SnapshotRecord] = OrderedDict()

    def of(self, key: str, most: int) -> SnapshotRecord:
        with self._lock:
            record = self._by_key.get(key)
            if record is None:
                record = self._by_key[key] = SnapshotRecord()
                while len(self._by_key) > most:
                    self._by_key.popitem(last=False)
            else:
                self._by_key.move_to_end(key)
            return record

    def forget(self, key: str) -> None:
        with self._lock:
            self._by_key.pop(key, None)


_records = PerConnection(Records, Records.after_fork)


def records_of(connection: Connection) -> Records:
    """Return what this process knows of the tenants on a connection."""
    return _records.of(connection)


def load(tenant: str) -> Flow[Snapshot]:
    """Return a tenant's snapshot, read again where that is ``REFRESH`` seconds ago."""
    home = space()
    return (yield from _record(home, tenant).read(home, tenant))


def store(tenant: str, fields: Mapping[str, str]) -> Flow[None]:
    """Write fields of a tenant's record."""
    pairs = [part for item in fields.items() for part in item]
    yield from _change(tenant, ("HSET", *pairs)) if pairs else ()


def remove(tenant: str, fields: Sequence[str]) -> Flow[None]:
    """Remove fields of a tenant's record."""
    yield from _change(tenant, ("HDEL", *fields)) if fields else ()


def forget(tenant: str) -> None:
    """Let the next one who asks for a tenant read again, whatever this process knows."""
    home = space()
    records_of(home.connection).forget(home.record(tenant))


def _change(tenant: str, change: Command) -> Flow[None]:
    home = space()
    name, *arguments = change
    # Whether it is done once or twice, the fields then hold the same.
    yield Run(home.connection, Operation(((name, home.record(tenant), *arguments),), only, replay_safe=True))
    _record(home, tenant).expire()


def _record(home: Space, tenant: str) -> SnapshotRecord:
    return records_of(home.connection).of(home.record(tenant), home.settings.remembered)


def _parsed(fields: Sequence[Reply]) -> Snapshot:
    texts = [part.decode("utf-8", "replace") for part in fields if isinstance(part, bytes)]
    found: dict[str, dict[str, Any]] = {CONFIG: {}, FLAG: {}, SWITCH: {}, SAMPLE: {}}
    for stored, text in zip(texts[::2], texts[1::2], strict=False):
        kind, _, name = stored.partition(" ")
        if kind in found:
            # What somebody else wrote there is passed over: it must not stop the site.
            try:
                found[kind][name] = _READERS[kind](text)
            except (TypeError, ValueError, RecursionError):
                logger.warning("A %s of a tenant is not what this version stores, and is passed over.", kind)
    return Snapshot(*(MappingProxyType(found[kind]) for kind in (CONFIG, FLAG, SWITCH, SAMPLE)))


_READERS: dict[str, Callable[[str], Any]] = {
    CONFIG: json.loads,
    FLAG: flag_from_json,
    SWITCH: lambda text: text == "1",
    SAMPLE: lambda text: check_percent(float(text)),
}
