"""
What a database holds, prefix by prefix, from a bounded part of its keys.

Names come from SCAN, which costs one command for hundreds of keys. Type, lifetime and size cost three commands a key,
so they are asked for a sample of the names found, spread over the prefixes; what is concluded from it is an estimate.
A sample may miss the one key that is large: where it is to be found, the sizes of many more are asked for, one command
a key.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heappush, heappushpop
from typing import TYPE_CHECKING, Any

from django_upstash.diagnostics.arguments import is_count
from django_upstash.exceptions import ResponseError
from django_upstash.operations import Command, Operation, Reply, checked

if TYPE_CHECKING:
    from django_upstash.connections import Connection

MOST_KEYS = 10_000_000
TYPES = ("string", "hash", "list", "set", "zset", "stream")
SCAN_COUNT = 1000  # Upstash looks at about as many keys per call, whatever it is asked
KEYS_PER_REQUEST = 100  # of the sample
MOST_WEIGHED = 2_000  # keys beside the sample whose size is asked for
_CURSOR = re.compile(r"\d{1,20}")


@dataclass(frozen=True, kw_only=True)
class Scan:
    """
    Which keys to look at: about ``limit`` names from ``cursor`` on, ``sample`` of them closely.

    ``match`` is a pattern of SCAN, ``type`` one of the types that the TYPE command returns. ``largest`` is how many of
    the largest keys are named; with ``weighs``, ``MOST_WEIGHED`` more keys at most are looked at to find them. Raises
    ``ValueError`` with one sentence for values that make no sense.
    """

    match: str | None = None
    type: str | None = None
    limit: int = 10_000
    sample: int = 100
    cursor: str = "0"
    largest: int = 1
    weighs: bool = False

    def __post_init__(self) -> None:
        if not is_count(self.limit, 1, MOST_KEYS):
            raise ValueError(f"--limit must be from 1 to {MOST_KEYS:,} keys.")
        if not is_count(self.sample, 0, MOST_KEYS):
            raise ValueError(f"--sample must be from 0 to {MOST_KEYS:,} keys.")
        if not is_count(self.largest, 1, MOST_WEIGHED):
            raise ValueError(f"--largest must be from 1 to {MOST_WEIGHED:,} keys.")
        if not _CURSOR.fullmatch(self.cursor):
            raise ValueError("--cursor must be the number that an earlier run printed.")

    @property
    def is_filtered(self) -> bool:
        return self.match is not None or self.type is not None

    @property
    def kept_names(self) -> int:
        """How many names of each prefix may be looked at."""
        return self.sample + (MOST_WEIGHED if self.weighs else 0)

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
    smallest: int = 0  # bytes, of those sized
    largest: int = 0
    largest_name: bytes = b""
    names: list[bytes] = field(default_factory=list)  # the first ones, from which the sample is taken

    @property
    def share_without_ttl(self) -> float | None:
        return self.without_ttl / self.timed if self.timed else None

    @property
    def mean_bytes(self) -> float | None:
        return self.total_bytes / self.sized if self.sized else None

    @property
    def bytes_range(self) -> tuple[int, int] | None:
        """What all keys take if those that were not sized are as small, and as large, as those that were."""
        if not self.sized:
            return None
        unseen = self.keys - self.sized
        return self.total_bytes + unseen * self.smallest, self.total_bytes + unseen * self.largest

    @property
    def is_sized_whole(self) -> bool:
        return self.sized == self.keys

    @property
    def is_measured_whole(self) -> bool:
        return self.timed == self.sized == self.keys


@dataclass
class KeyspaceInfo:
    """What a scan found. ``cursor`` is where to continue, "0" when all has been seen."""

    scan: Scan
    family: Callable[[bytes], str]
    total: int = 0
    found: int = 0
    pages: int = 0
    cursor: str = "0"
    sizes_are_of_values: bool = False  # the server refuses MEMORY USAGE, so they are lengths of strings
    groups: dict[str, KeyGroup] = field(default_factory=dict)
    heaviest: list[tuple[int, bytes]] = field(default_factory=list)  # the smallest of the largest first

    @property
    def largest(self) -> list[tuple[int, bytes]]:
        """The largest keys seen, with their bytes, the largest first."""
        return sorted(self.heaviest, key=lambda pair: (-pair[0], pair[1]))

    @property
    def sized(self) -> int:
        """How many keys have told their size."""
        return sum(group.sized for group in self.groups.values())

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
    connection: Connection, scan: Scan, family: Callable[[bytes], str], progress: Callable[[KeyspaceInfo], None]
) -> KeyspaceInfo:
    """
    Scan the database as told and return what it holds.

    ``family`` returns the prefix under which a key is counted; ``progress`` is called after each page.
    """
    keyspace = KeyspaceInfo(scan, family)
    connection.run(_first_page(keyspace))
    progress(keyspace)
    while keyspace.cursor != "0" and keyspace.pages < scan.pages:
        connection.run(_next_page(keyspace))
        progress(keyspace)
    _measure(connection, keyspace)
    return keyspace


def _first_page(keyspace: KeyspaceInfo) -> Operation[None]:
    def parse(replies: list[Reply]) -> None:
        keyspace.total, page = checked(replies)
        _add_page(keyspace, page)

    return Operation((("DBSIZE",), keyspace.scan.command(keyspace.scan.cursor)), parse)


def _next_page(keyspace: KeyspaceInfo) -> Operation[None]:
    def parse(replies: list[Reply]) -> None:
        _add_page(keyspace, checked(replies)[0])

    return Operation((keyspace.scan.command(keyspace.cursor),), parse)


def _add_page(keyspace: KeyspaceInfo, page: list[Any]) -> None:
    cursor, names = page
    keyspace.cursor = str(int(cursor))
    keyspace.pages += 1
    keyspace.found += len(names)
    for name in names:
        prefix = keyspace.family(name)
        group = keyspace.groups.setdefault(prefix, KeyGroup(prefix))
        group.keys += 1
        if len(group.names) < keyspace.scan.kept_names:
            group.names.append(name)


def _measure(connection: Connection, keyspace: KeyspaceInfo) -> None:
    sample = list(_sample(keyspace))
    closely, others = sample[: keyspace.scan.sample], sample[keyspace.scan.sample :]
    for start in range(0, len(closely), KEYS_PER_REQUEST):
        connection.run(_sizes_and_lifetimes(keyspace, closely[start : start + KEYS_PER_REQUEST]))
    for start in range(0, len(others), KEYS_PER_REQUEST):
        connection.run(_sizes(keyspace, others[start : start + KEYS_PER_REQUEST]))


def _sample(keyspace: KeyspaceInfo) -> Iterator[tuple[KeyGroup, bytes]]:
    """Yield the keys to look at: of each prefix the first, then of each the second, and so on."""
    left, depth = keyspace.scan.kept_names, 0
    groups = sorted(keyspace.groups.values(), key=lambda group: -group.keys)
    while left and (groups := [group for group in groups if len(group.names) > depth]):
        for group in groups[:left]:
            yield group, group.names[depth]
        left -= len(groups[:left])
        depth += 1


def _sizes_and_lifetimes(keyspace: KeyspaceInfo, sample: list[tuple[KeyGroup, bytes]]) -> Operation[None]:
    """Return the operation that asks for type, lifetime and size of some keys, in one request."""
    size = ("STRLEN",) if keyspace.sizes_are_of_values else ("MEMORY", "USAGE")
    commands = [command for _, name in sample for command in (("TYPE", name), ("PTTL", name), (*size, name))]

    def parse(replies: list[Reply]) -> Operation[None] | None:
        sizes = replies[2::3]
        if not keyspace.sizes_are_of_values and all(isinstance(size, ResponseError) for size in sizes):
            keyspace.sizes_are_of_values = True
            return _lengths(keyspace, sample, replies)
        for place, (group, name) in enumerate(sample):
            _add_key(group, *replies[3 * place : 3 * place + 2])
            _add_size(keyspace, group, name, replies[3 * place + 2])
        return None

    return Operation(commands, parse)


def _sizes(keyspace: KeyspaceInfo, names: list[tuple[KeyGroup, bytes]]) -> Operation[None]:
    """Return the operation that asks for the size of some keys, in one request."""
    size = ("STRLEN",) if keyspace.sizes_are_of_values else ("MEMORY", "USAGE")

    def parse(replies: list[Reply]) -> Operation[None] | None:
        if not keyspace.sizes_are_of_values and all(isinstance(size, ResponseError) for size in replies):
            keyspace.sizes_are_of_values = True
            return _sizes(keyspace, names)
        for (group, name), told in zip(names, replies, strict=True):
            _add_size(keyspace, group, name, told)
        return None

    return Operation([(*size, name) for _, name in names], parse)


def _lengths(keyspace: KeyspaceInfo, sample: list[tuple[KeyGroup, bytes]], before: list[Reply]) -> Operation[None]:
    def parse(replies: list[Reply]) -> None:
        for place, (group, name) in enumerate(sample):
            _add_key(group, before[3 * place], before[3 * place + 1])
            _add_size(keyspace, group, name, replies[place])

    return Operation([("STRLEN", name) for _, name in sample], parse)


def _add_key(group: KeyGroup, kind: Reply, ttl: Reply) -> None:
    """Add what is known of one key; the error of a refused command, or a key that has gone, is not known."""
    if isinstance(kind, bytes) and kind != b"none":
        group.types[kind.decode()] += 1
    if isinstance(ttl, int) and ttl != -2:
        group.timed += 1
        group.without_ttl += ttl == -1
        if ttl >= 0:
            group.shortest_ttl = ttl if group.shortest_ttl is None else min(ttl, group.shortest_ttl)


def _add_size(keyspace: KeyspaceInfo, group: KeyGroup, name: bytes, size: Reply) -> None:
    """Add the size of one key, where the server has told it."""
    if not isinstance(size, int):
        return
    if not group.sized or size < group.smallest:
        group.smallest = size
    if not group.sized or size > group.largest:
        group.largest, group.largest_name = size, name
    group.sized += 1
    group.total_bytes += size
    add = heappush if len(keyspace.heaviest) < keyspace.scan.largest else heappushpop
    add(keyspace.heaviest, (size, name))
