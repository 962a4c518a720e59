"""The sessions of a database: how many, how long they have left, how large they are, and whether they may go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django_upstash.diagnostics.eviction import eviction_of
from django_upstash.diagnostics.survey import GONE, Extent, Survey, conduct
from django_upstash.exceptions import ResponseError
from django_upstash.operations import Operation, Reply, checked
from django_upstash.operations.key_kind import Kind
from django_upstash.operations.keys import glob_escape

if TYPE_CHECKING:
    from django_upstash.connections import Connection

_NEVER_EVICTS = "noeviction"


@dataclass
class SessionSurvey(Survey):
    """What was found. ``eviction`` is the database's policy, None where it does not tell."""

    prefix: str = ""
    eviction: str | None = None

    @property
    def evicts(self) -> bool:
        return self.eviction not in (None, _NEVER_EVICTS)

    def as_json(self) -> dict[str, Any]:
        return {
            "prefix": self.prefix,
            "sessions": self.count,
            "is_complete": self.is_complete,
            "measured": self.measured,
            **self.spreads(),
            "eviction": self.eviction,
        }


def survey(connection: Connection, prefix: str, extent: Extent, progress: Callable[[int], object]) -> SessionSurvey:
    """Count the sessions with this prefix, and measure some of them."""
    found = SessionSurvey(prefix=prefix)

    def look(names: Sequence[str]) -> Operation[None]:
        return _lifetimes_and_sizes(found, names)

    conduct(connection, Kind(f"{glob_escape(prefix)}:*"), found, look, extent, progress)
    info = eviction_of(connection)
    found.eviction = None if info is None else info.eviction_policy
    return found


def _lifetimes_and_sizes(found: SessionSurvey, names: Sequence[str]) -> Operation[None]:
    commands = [command for name in names for command in (("PTTL", name), ("STRLEN", name))]

    def parse(replies: list[Reply]) -> None:
        answers = iter(replies)
        for lifetime, size in zip(answers, answers, strict=True):
            if isinstance(size, ResponseError) or lifetime == GONE:
                continue  # no session, or gone since
            found.add(*checked([lifetime, size]))

    return Operation(commands, parse)
