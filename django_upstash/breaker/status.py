"""The states of a circuit, its state at a given time, and the steps that change it."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from django_upstash.breaker.settings import BreakerOptions

# A word and what it takes, as the script wants them.
Step: TypeAlias = tuple[str, ...]
LOOK: Step = ("look",)
RELEASED = "-"
_LONGEST = 366 * 86400.0
_NO_WORD = re.compile(r"\W+", re.ASCII)
_LONGEST_WORD = 64


class State(StrEnum):
    CLOSED = "closed"  # calls pass
    OPEN = "open"  # calls are refused
    HALF_OPEN = "half_open"  # probes pass, other calls are refused
    FORCED_OPEN = "forced_open"
    FORCED_CLOSED = "forced_closed"  # calls pass and are counted, and nothing opens
    DISABLED = "forced_disabled"  # calls pass and are not counted

    @property
    def lets_pass(self) -> bool:
        return self in (State.CLOSED, State.FORCED_CLOSED, State.DISABLED)

    @property
    def is_forced(self) -> bool:
        return self.value.startswith("forced_")


class Standing(NamedTuple):
    """
    The state of a circuit, for all processes that share its record. Times are in seconds, ``opened_at`` since 1970.

    ``left`` is how long the state lasts: None where that is not known beforehand. ``granted`` says that a probe has its
    place, and ``decided_here`` that this very step has opened, closed or forced the circuit.
    """

    state: State = State.CLOSED
    left: float | None = None
    failures: int = 0
    opens: int = 0
    opened_at: float | None = None
    granted: bool = False
    decided_here: bool = False


def report(options: BreakerOptions, failures: int, *, afresh: bool, tripped: bool, error: str = "") -> Step:
    """
    Tell of failures while closed. ``afresh`` says that a success came before them, which ends others' row.

    ``tripped`` says that the window of the process is reason enough to open, and ``error`` what the last call raised.
    """
    threshold = options.failure_threshold if options.failure_rate is None else 0
    flags = _flag(afresh), _flag(tripped)
    return "report", str(failures), *flags, str(threshold), _milliseconds(options.timeout), _word(error)


def probe(options: BreakerOptions, token: str, *, held: bool, refused: int = 0) -> Step:
    """
    Ask for the place of a probe, and tell of calls that were refused.

    ``held`` says that the process holds open by itself what the record has closed.
    """
    return "probe", token, str(options.probes), _milliseconds(options.probe_timeout), str(refused), _flag(held)


def settle(options: BreakerOptions, token: str, outcome: str, *, held: bool, error: str = "") -> Step:
    """Give a place back; ``outcome`` is ``"success"``, ``"failure"``, or ``""`` where the call has shown neither."""
    threshold, timeout = str(options.success_threshold), _milliseconds(options.timeout)
    return "settle", token, outcome, threshold, timeout, _word(error), _flag(held)


def force(kind: str, seconds: float | None) -> Step:
    """
    Force ``"open"``, ``"closed"`` or ``"disabled"``, until released where no seconds are given, or release.

    Raises ``ValueError`` for an invalid time.
    """
    if seconds is not None and not 0 < seconds <= _LONGEST:
        raise ValueError("seconds must be between 0 and one year, or None to force the circuit until it is released.")
    return "force", kind, "0" if seconds is None else _milliseconds(seconds)


def _word(text: str) -> str:
    return _NO_WORD.sub("_", text)[:_LONGEST_WORD]


def _flag(value: bool) -> str:
    return "1" if value else "0"


def _milliseconds(seconds: float) -> str:
    return str(max(round(seconds * 1000), 1))
