"""
Counting and removing all keys of one kind: SCAN page by page, never KEYS, never FLUSHDB.

A page looks at about a thousand keys of the database, whichever of them match, so that no request holds the server up.
What a pattern cannot say exactly, a function of the key says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import Any, NamedTuple, TypeAlias

from django_upstash.callbacks import refuse_awaitable
from django_upstash.operations import Command, Operation, Reply, checked
from django_upstash.operations.key_kind import Kind
from django_upstash.operations.keys import glob_escape
from django_upstash.operations.steps import Flow, Run, Runner

PAGE_SIZE = 1000
START = "0"


def beginning_with(*beginnings: str) -> list[Kind]:
    """Return the kinds of keys that begin with one of these texts."""
    return [Kind(f"{glob_escape(beginning)}*") for beginning in beginnings]


class Swept(NamedTuple):
    """How many keys have been removed, and the cursor at which another sweep goes on; None at the end."""

    removed: int
    cursor: str | None


class Page(NamedTuple):
    """The keys that one SCAN found, perhaps one twice, and the cursor of the next; None after the last."""

    keys: list[str]
    cursor: str | None


class Collected(NamedTuple):
    """Keys of a kind, and whether these are all."""

    keys: set[str]
    is_complete: bool


Progress: TypeAlias = Callable[[Swept], object]


def page(kind: Kind, cursor: str = START, count: int | None = None) -> Operation[Page]:
    """Return the operation that finds one page of the keys of a kind, of about ``count`` keys of the database."""

    def parse(replies: list[Reply]) -> Page:
        return _page_of(kind, checked(replies)[0])

    return Operation((scan(kind.pattern, cursor, count),), parse)


def pages(run: Callable[[Operation[Page]], Page], kind: Kind, cursor: str = START) -> Iterator[Page]:
    """Yield the pages of a kind from a cursor on, each asked for when the one before has been used."""
    following: str | None = cursor
    while following is not None:
        found = run(page(kind, following))
        yield found
        following = found.cursor


def collect(runner: Runner, kind: Kind, limit: float = inf) -> Flow[Collected]:
    """Find the keys of a kind, and stop after the page that brings them to ``limit``."""
    found: set[str] = set()
    cursor: str | None = START
    while cursor is not None and len(found) < limit:
        seen: Page = yield Run(runner, page(kind, cursor))
        found.update(seen.keys)
        cursor = seen.cursor
    return Collected(found, cursor is None)


def removal(
    kind: Kind,
    cursor: str = START,
    *,
    most: int | None = None,
    progress: Progress | None = None,
    count: int | None = None,
) -> Operation[Swept]:
    """
    Return the operation that removes the keys of a kind, in one request for each page.

    Each request removes what the one before has found, and looks at about ``count`` more keys of the database.
    ``progress`` is called after each, and with its cursor a later removal goes on there. Stops once ``most`` keys are
    gone, or a page more.
    """
    return _Removal(kind, most, progress, count).request([], cursor, 0)


@dataclass(frozen=True)
class _Removal:
    kind: Kind
    most: int | None
    progress: Progress | None
    count: int | None

    def request(self, doomed: list[str], cursor: str | None, removed: int) -> Operation[Swept]:
        """Return the operation that removes keys and finds the next ones, from there on where they are the last."""
        is_last = cursor is None or (self.most is not None and removed + len(doomed) >= self.most)
        commands: list[Command] = [("UNLINK", *doomed)] if doomed else []
        if cursor is not None and not is_last:
            commands.append(scan(self.kind.pattern, cursor, self.count))

        def parse(replies: list[Any]) -> Any:
            checked(replies)
            swept = Swept(removed + (replies[0] if doomed else 0), cursor)
            if self.progress is not None:
                refuse_awaitable("progress", self.progress(swept))
            return swept if is_last else self._after(swept.removed, _page_of(self.kind, replies[-1]))

        return Operation(commands, parse)

    def _after(self, removed: int, found: Page) -> Any:
        if not found.keys and found.cursor is None:
            return Swept(removed, None)
        return self.request(found.keys, found.cursor, removed)


def scan(pattern: str | None, cursor: str, count: int | None = None) -> Command:
    """Return the command that looks at about ``count`` keys of the database and finds those that match."""
    match = () if pattern is None else ("MATCH", pattern)
    return "SCAN", cursor, *match, "COUNT", str(count or PAGE_SIZE)


def read_scan(reply: Any) -> tuple[list[bytes], str | None]:
    """Return the names in the reply of a SCAN, and the cursor of the next; None after the last."""
    cursor, names = reply
    following = cursor.decode() if isinstance(cursor, bytes) else str(cursor)
    return names, None if following == START else following


def _page_of(kind: Kind, reply: Any) -> Page:
    names, cursor = read_scan(reply)
    return Page(kind.of(names), cursor)


@lru_cache(maxsize=64)
def glob(pattern: str) -> re.Pattern[str]:
    """Return the regular expression that matches what a pattern of SCAN does."""
    tokens = re.compile(r"\\(.)|\[(\^?)((?:\\.|[^\]])*)(?:\]|$)|(.)", re.DOTALL).finditer(pattern)
    return re.compile("".join(map(_token, tokens)), re.DOTALL)


def _token(token: re.Match[str]) -> str:
    escaped, negated, members, plain = token.groups()
    if escaped is not None:
        return re.escape(escaped)
    if members is not None:
        listed = re.sub(r"\\?([\[\]\\^&|~])", r"\\\1", members)
        return f"[{negated}{listed}]" if members else "(?!)"
    return {"*": ".*", "?": "."}.get(plain, re.escape(plain))
