"""What the pages are made of, as templates in ``pieces/`` draw it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.functional import Promise

Text = str | Promise


@dataclass(frozen=True)
class Tile:
    """One number that matters. ``tone`` is "" or "alert"; ``is_live`` says that each refresh updates it."""

    name: str
    label: Text
    value: Text
    note: Text = ""
    tone: str = ""
    is_live: bool = False


@dataclass(frozen=True)
class Choice:
    """A step of a pager or of a switch, and the address that it leads to."""

    label: Text
    url: str
    is_chosen: bool = False


@dataclass(frozen=True)
class Option:
    """An answer to a filter's question."""

    value: str
    label: Text
    is_chosen: bool = False


@dataclass(frozen=True)
class Filter:
    """A question by which to narrow a list down; ``name`` is its parameter in the address."""

    name: str
    title: Text
    options: Sequence[Option]


@dataclass(frozen=True)
class Column:
    """A heading. ``direction`` is "ascending" or "descending" where the table is sorted by it, ``url`` sorts by it."""

    name: str
    label: Text
    url: str = ""
    direction: str = ""
    kind: str = ""


@dataclass(frozen=True)
class MeterBar:
    """How much of a limit is used; ``tone`` is "", "near" or "full"."""

    used: int
    limit: int
    tone: str
    label: Text

    @property
    def shown(self) -> int:
        return min(self.used, self.limit)

    @property
    def most(self) -> int:
        return max(self.limit, 1)
