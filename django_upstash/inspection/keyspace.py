"""
What a database holds, prefix by prefix, from a bounded part of its keys.

Names come from SCAN, which costs one command for hundreds of keys. Type, lifetime and size cost three commands a key,
so they are asked for a sample of the names found, spread over the prefixes; what is concluded from it is an estimate.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django_upstash.exceptions import ResponseError
from django_upstash.inspection.arguments import is_count
from django_upstash.operations import Command, Operation, Reply, checked

if TYPE_CHECKING:
    from django_upstash.connections import Connection

MOST_KEYS = 10_000_000
TYPES = ("string", "hash", "list", "set", "zset", "stream")
SCAN_COUNT = 1000  # Upstash looks at about as many keys per call, whatever it is asked
KEYS_PER_REQUEST = 100  # of the sample
_CURSOR = re.compile(r"\d{1,20}")


@dataclass(frozen=True, kw_only=True)
class Scan:
    """
    Which keys to look at: about ``limit`` names from ``cursor`` on, ``sample`` of them closely.

    ``match`` is a pattern of SCAN, ``type`` one of the types that the TYPE command returns. Raises ``ValueError`` with
    one sentence for values that make no sense.
    """

    match: str | None = None
    type: str | None = None
    limit: int = 10_000
    sample: int = 100
    cursor: str = "0"

    def __post_init__(self) -> None:
        if not is_count(self.limit, 1, MOST_KEYS):
            raise ValueError(f"--limit must be from 1 to {MOST_KEYS:,} keys.")
        if not is_count(self.sample, 0, MOST_KEYS):
            raise ValueError(f"--sample must be from 0 to {MOST_KEYS:,} keys.")
        if not _CURSOR.fullmatch(self.cursor):
            raise ValueError("--cursor must be the number that an earlier run printed.")

    @property
    def is_filtered(self) -> bool:
        return self.match is not None or self.type is not None

    @property
    def pages(self) -> int:
        """The most SCAN commands that may be sent."""
        return -(-self.limit // SCAN_COUNT)

    def command(self, cursor: str) -> Command:
        match = () if self.match is None else ("MATCH", self.match)
        kind = () if self.type is None else ("TYPE", self.type)
        return ("SCAN", cursor, *match, "COUNT", min(SCAN_COUNT, self.limit), *kind)


@dataclass
class KeyGroup:
    """The keys of one prefix. Of those measured, ``sized`` told their size and ``timed`` their lifetime."""

    prefix: str
    keys: int = 0
    types: Counter[str] = field(default_factory=Counter)
    timed: int = 0
    without_ttl: int = 0
    shortest_ttl: int | None = None  # milliseconds
    sized: int = 0
    total_bytes: int = 0
    names: list[bytes] = field(default_factory=list)  # the first ones, from which the sample is taken

    @property
    def share_without_ttl(self) -> float | None:
        return self.without_ttl / self.timed if self.timed else None

    @property
    def mean_bytes(self) -> float | None:
        return self.total_bytes / self.sized if self.sized else None

    @property
    def is_measured_whole(self) -> bool:
        return self.timed == self.sized == self.keys


@dataclass
class Keyspace:
    """What a scan found. ``cursor`` is where to continue, "0" when all has been seen."""

    scan: Scan
    family: Callable[[bytes], str]
    total: int = 0
    found: int = 0
    pages: int = 0
    cursor: str = "0"
    sizes_are_of_values: bool = False  # the server refuses MEMORY USAGE, so they are lengths of strings
    groups: dict[str, KeyGroup] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether this run saw the whole database."""
        return self.cursor == self.scan.cursor == "0"

    @property
    def scale(self) -> float:
        """By what to multiply counts to speak of the whole database; 1 where a filter hides how much was looked at."""
        if self.is_complete or self.scan.is_filtered or not self.found:
            return 1.0
        return max(self.total / self.found, 1.0)


def survey(
    connection: Connection, scan: Scan, family: Callable[[bytes], str], progress: Callable[[Keyspace], None]
) -> Keyspace:
    """
    Scan the database as told and return what it holds.

    ``family`` returns the prefix under which a key is counted; ``progress`` is called after each page.
    """
    keyspace = Keyspace(scan, family)
    connection.run(_first_page(keyspace))
    progress(keyspace)
    while keyspace.cursor != "0" and keyspace.pages < scan.pages:
        connection.run(_next_page(keyspace))
        progress(keyspace)
    _measure(connection, keyspace)
    return keyspace


def _first_page(keyspace: Keyspace) -> Operation[None]:
    def parse(replies: list[Reply]) -> None:
        keyspace.total, page = checked(replies)
        _add_page(keyspace, page)

    return Operation((("DBSIZE",), keyspace.scan.command(keyspace.scan.cursor)), parse)


def _next_page(keyspace: Keyspace) -> Operation[None]:
    def parse(replies: list[Reply]) -> None:
        _add_page(keyspace, checked(replies)[0])

    return Operation((keyspace.scan.command(keyspace.cursor),), parse)


def _add_page(keyspace: Keyspace, page: list[Any]) -> None:
    cursor, names = page
    keyspace.cursor = str(int(cursor))
    keyspace.pages += 1
    keyspace.found += len(names)
    for name in names:
        prefix = keyspace.family(name)
        group = keyspace.groups.setdefault(prefix, KeyGroup(prefix))
        group.keys += 1
        if len(group.names) < keyspace.scan.sample:
            group.names.append(name)


def _measure(connection: Connection, keyspace: Keyspace) -> None:
    sample = list(_sample(keyspace))
    for start in range(0, len(sample), KEYS_PER_REQUEST):
        connection.run(_sizes_and_lifetimes(keyspace, sample[start : start + KEYS_PER_REQUEST]))


def _sample(keyspace: Keyspace) -> Iterator[tuple[KeyGroup, bytes]]:
    """Yield the keys to look at closely: of each prefix the first, then of each the second, and so on."""
    left, depth = keyspace.scan.sample, 0
    groups = sorted(keyspace.groups.values(), key=lambda group: -group.keys)
    while left and (groups := [group for group in groups if len(group.names) > depth]):
        for group in groups[:left]:
            yield group, group.names[depth]
        left -= len(groups[:left])
        depth += 1


def _sizes_and_lifetimes(keyspace: Keyspace, sample: list[tuple[KeyGroup, bytes]]) -> Operation[None]:
    """Return the operation that asks for type, lifetime and size of some keys, in one request."""
    size = ("STRLEN",) if keyspace.sizes_are_of_values else ("MEMORY", "USAGE")
    commands = [command for _, name in sample for command in (("TYPE", name), ("PTTL", name), (*size, name))]

    def parse(replies: list[Reply]) -> Operation[None] | None:
        sizes = replies[2::3]
        if not keyspace.sizes_are_of_values and all(isinstance(size, ResponseError) for size in sizes):
            keyspace.sizes_are_of_values = True
            return _lengths(sample, replies)
        for place, (group, _) in enumerate(sample):
            _add_key(group, *replies[3 * place : 3 * place + 3])
        return None

    return Operation(commands, parse)


def _lengths(sample: list[tuple[KeyGroup, bytes]], before: list[Reply]) -> Operation[None]:
    def parse(replies: list[Reply]) -> None:
        for place, (group, _) in enumerate(sample):
            _add_key(group, before[3 * place], before[3 * place + 1], replies[place])

    return Operation([("STRLEN", name) for _, name in sample], parse)


def _add_key(group: KeyGroup, kind: Reply, ttl: Reply, size: Reply) -> None:
    """Add what is known of one key; the error of a refused command, or a key that has gone, is not known."""
    if isinstance(kind, bytes) and kind != b"none":
        group.types[kind.decode()] += 1
    if isinstance(ttl, int) and ttl != -2:
        group.timed += 1
        group.without_ttl += ttl == -1
        if ttl >= 0:
            group.shortest_ttl = ttl if group.shortest_ttl is None else min(ttl, group.shortest_ttl)
    if isinstance(size, int):
        group.sized += 1
        group.total_bytes += size
