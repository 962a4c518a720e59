"""
The record of a circuit in one process, for the time that the server is away: as ``lua/decide.lua`` does it.

Times are milliseconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from django_upstash.breaker.status import RELEASED, Standing, State, Step

_NUMBER = r"(\d{1,15})"
_TEXT = re.compile(
    rf"(closed|open|half_open){f' {_NUMBER}' * 5} (-|open|closed|disabled) {_NUMBER}((?: \w+=\d{{1,15}})*)".encode()
)


@dataclass
class CircuitRecord:
    """What is known of a circuit. Whoever takes a step sees to it that nobody else does at the same time."""

    state: State = State.CLOSED
    ends: int = 0
    failures: int = 0
    successes: int = 0
    opens: int = 0
    opened_at: int = 0
    forced: str = RELEASED
    forced_until: int = 0
    places: dict[str, int] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)  # about the last opening; the server's record alone has them

    @classmethod
    def parse(cls, text: object) -> CircuitRecord:
        """Return the record that the server keeps as this text; a new one for an invalid value."""
        match = _TEXT.fullmatch(text) if isinstance(text, bytes) else None
        if match is None:
            return cls()
        state, *numbers, forced, forced_until, places = (part.decode() for part in match.groups())
        ends, failures, successes, opens, opened_at = map(int, numbers)
        found = dict(place.split("=") for place in places.split())
        held = {token: int(until) for token, until in found.items() if int(until)}
        noted = (token.partition("_") for token, until in found.items() if not int(until) and "_" in token)
        notes = {name: value for name, _, value in noted}
        return cls(State(state), ends, failures, successes, opens, opened_at, forced, int(forced_until), held, notes)

    def decide(self, step: Step, now: int) -> Standing:
        """Take a step at a time, and return the state of the circuit after it."""
        word, *arguments = step
        self._follow(now, int(arguments[2]) if word == "probe" else None)
        self._expire(now)
        granted = decided_here = False
        if word == "force":
            decided_here = self._force(now, *arguments)
        elif self.forced == RELEASED and word == "report":
            decided_here = self._report(now, *arguments)
        elif self.forced == RELEASED and word == "probe":
            granted = self._probe(now, *arguments)
        elif self.forced == RELEASED and word == "settle":
            decided_here = self._settle(now, *arguments)
        return self._standing(now, granted, decided_here)

    def _follow(self, now: int, lease: int | None) -> None:
        """Where the clock has been set back, let what is open or held last as long from now on as it does at first."""
        if self.opened_at > now:
            self.ends, self.opened_at = max(self.ends - self.opened_at + now, 0), now
        if lease is not None:
            self.places = {token: min(ends, now + lease) for token, ends in self.places.items()}

    def _expire(self, now: int) -> None:
        self.places = {token: ends for token, ends in self.places.items() if ends > now}
        if 0 < self.forced_until <= now:
            self.forced, self.forced_until = RELEASED, 0

    def _become(self, state: State, ends: int) -> None:
        self.state, self.ends, self.failures, self.successes, self.places = state, ends, 0, 0, {}

    def _open(self, now: int, timeout: str) -> bool:
        self._become(State.OPEN, now + int(timeout))
        self.opens, self.opened_at = self.opens + 1, now
        return True

    def _force(self, now: int, kind: str, lasts: str) -> bool:
        self._become(State.CLOSED, now)
        self.forced, self.forced_until = kind, now + int(lasts) if int(lasts) else 0
        return True

    def _report(self, now: int, count: str, afresh: str, tripped: str, threshold: str, *timeout: str) -> bool:
        if self.state is not State.CLOSED:
            return False
        self.failures = (0 if afresh == "1" else self.failures) + int(count)
        return (tripped == "1" or 0 < int(threshold) <= self.failures) and self._open(now, timeout[0])

    def _probe(self, now: int, token: str, most: str, lease: str, *told: str) -> bool:
        held = told[-1]
        is_over = self.state is State.OPEN and self.ends <= now
        if is_over or (self.state is State.CLOSED and held == "1"):
            self._become(State.HALF_OPEN, now)
        if self.state is not State.HALF_OPEN or len(self.places) >= int(most):
            return False
        self.places[token] = now + int(lease)
        return True

    def _settle(self, now: int, token: str, outcome: str, threshold: str, timeout: str, *told: str) -> bool:
        held = told[-1]
        if self.state is State.CLOSED and held == "1":
            self._become(State.HALF_OPEN, now)
            self.places[token] = now + 1
        if self.state is not State.HALF_OPEN or self.places.pop(token, None) is None:
            return False
        if outcome == "failure":
            return self._open(now, timeout)
        self.successes += outcome == "success"
        if self.successes < int(threshold):
            return False
        self._become(State.CLOSED, now)
        return True

    def _standing(self, now: int, granted: bool, decided_here: bool) -> Standing:
        state, left = self.state, None
        if self.forced != RELEASED:
            state = State(f"forced_{self.forced}")
            left = (self.forced_until - now) / 1000 if self.forced_until else None
        elif state is State.OPEN:
            left = max(self.ends - now, 0) / 1000
        elif state is State.HALF_OPEN:
            left = 0.0 if granted else max(min(self.places.values(), default=now) - now, 0) / 1000
        opened_at = self.opened_at / 1000 or None
        return Standing(state, left, self.failures, self.opens, opened_at, granted, decided_here)
