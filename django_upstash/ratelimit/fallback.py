"""Limits of one process for itself, by the same algorithms, for the time that the server is away."""

from __future__ import annotations

from collections.abc import Sequence

from django_upstash.forks import ForkSafeLock
from django_upstash.ratelimit.algorithms import Verdict, decide
from django_upstash.ratelimit.policies import Terms


class LocalStates:
    """States as the server keeps them, by key, with the time in microseconds when each has become meaningless."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = ForkSafeLock()
        self.after_fork()

    def after_fork(self) -> None:
        self._states: dict[str, tuple[str, int]] = {}

    def decide(
        self, keys: Sequence[str], terms: Sequence[Terms], cost: int, now: int, lease: str = "", charge: bool = True
    ) -> list[Verdict]:
        """Decide all or nothing, as the script does, and return what each policy says."""
        with self._lock:
            states = [self._state(key, now) for key in keys]
            verdicts = [decide(*pair, lease=lease) for pair in _each(states, cost, now, terms)]
            if not (charge and all(verdict.granted for verdict in verdicts)):
                return unchanged(states, verdicts, now, terms)
            for key, verdict in zip(keys, verdicts, strict=True):
                self._store(key, verdict, now)
            return verdicts

    def forget(self, key: str) -> None:
        with self._lock:
            self._states.pop(key, None)

    def _state(self, key: str, now: int) -> str | None:
        state, ends = self._states.get(key, ("", 0))
        return state if ends > now else None

    def _store(self, key: str, verdict: Verdict, now: int) -> None:
        self._states.pop(key, None)
        self._states[key] = verdict.state, now + verdict.lifetime
        if len(self._states) > self._most:
            del self._states[next(iter(self._states))]


def unchanged(
    states: Sequence[str | None], verdicts: Sequence[Verdict], now: int, terms: Sequence[Terms]
) -> list[Verdict]:
    """Return the verdicts with what is left as it is when nothing is charged."""
    left = [decide(*arguments) for arguments in _each(states, 0, now, terms)]
    return [
        verdict._replace(remaining=now_left.remaining, reset_after=now_left.reset_after)
        for verdict, now_left in zip(verdicts, left, strict=True)
    ]


def _each(
    states: Sequence[str | None], cost: int, now: int, terms: Sequence[Terms]
) -> list[tuple[str | None, int, int, Terms]]:
    return [(state, cost, now, term) for state, term in zip(states, terms, strict=True)]
