"""The idempotency keys of a database: how many, in which state, how long they have left, and how large they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django_upstash.diagnostics.survey import GONE, Extent, Survey, conduct
from django_upstash.exceptions import ResponseError
from django_upstash.idempotency.keys import beginning as beginning_of_keys
from django_upstash.idempotency.records import DONE, IN_PROGRESS
from django_upstash.operations import Command, Operation, Reply, checked
from django_upstash.operations.key_kind import Kind
from django_upstash.operations.keys import glob_escape, percent_encoded

if TYPE_CHECKING:
    from django_upstash.connections import Connection

_STATES = {DONE: "done", IN_PROGRESS: "in_progress"}


@dataclass
class IdempotencySurvey(Survey):
    """What was found of one tenant's keys, or of all."""

    tenant: str | None = None
    states: Counter[str] = field(default_factory=Counter)

    @property
    def measured(self) -> int:
        return self.states.total()

    def as_json(self) -> dict[str, Any]:
        return {
            "tenant": self.tenant,
            "keys": self.count,
            "is_complete": self.is_complete,
            "measured": self.measured,
            "states": {name: self.states[name] for name in ("in_progress", "done", "foreign")},
            **self.spreads(),
        }


def survey(
    connection: Connection, tenant: str | None, extent: Extent, progress: Callable[[int], object]
) -> IdempotencySurvey:
    """Count the keys of a tenant, or of all, and look closely at some of them."""
    found = IdempotencySurvey(tenant=tenant)
    part = "*" if tenant is None else glob_escape(percent_encoded(tenant))

    def look(names: Sequence[str]) -> Operation[None]:
        return _close_look(found, names)

    conduct(connection, Kind(f"{glob_escape(beginning_of_keys())}{part}:*"), found, look, extent, progress)
    return found


def _close_look(found: IdempotencySurvey, names: Sequence[str]) -> Operation[None]:
    commands: list[Command] = []
    for name in names:
        commands += [("GETRANGE", name, "0", "1"), ("PTTL", name), ("STRLEN", name)]

    def parse(replies: list[Reply]) -> None:
        answers = iter(replies)
        for beginning, lifetime, size in zip(answers, answers, answers, strict=True):
            if lifetime == GONE:
                continue
            if isinstance(beginning, ResponseError):  # of another type, which no key here has
                found.states["foreign"] += 1
                continue
            _add(found, *checked([beginning, lifetime, size]))

    return Operation(commands, parse)


def _add(found: IdempotencySurvey, beginning: bytes, lifetime: int, size: int) -> None:
    letter, separator = beginning[:1], beginning[1:]
    found.states[_STATES.get(letter, "foreign") if separator == b":" else "foreign"] += 1
    found.add(lifetime, size)
