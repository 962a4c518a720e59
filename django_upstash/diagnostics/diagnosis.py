"""Why a connection fails and what to do about it, in two sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django_upstash.diagnostics.causes import TABLE
from django_upstash.diagnostics.failure import Failure

if TYPE_CHECKING:
    from django_upstash.settings.conf import ConnectionSettings

__all__ = ["diagnose"]


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong, and what to do about it. Holds no secret."""

    cause: str
    next_step: str = ""

    def __str__(self) -> str:
        return f"{self.cause} {self.next_step}".rstrip()


def diagnose(error: Exception, settings: ConnectionSettings) -> Diagnosis:
    """Return the cause of an error that a connection of these settings raised, and the next step."""
    failure = Failure(error, settings)
    row = next(row for row in TABLE if row.fits(failure))
    return Diagnosis(row.cause.format(f=failure), row.next_step.format(f=failure))
