"""A circuit as one process knows it. Nothing here waits for anybody; the lock is held for a few assignments."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from math import inf
from time import monotonic, time
from typing import Any, NamedTuple

from django.dispatch import Signal

from django_upstash.breaker import signals
from django_upstash.breaker.record import CircuitRecord
from django_upstash.breaker.settings import BreakerOptions
from django_upstash.breaker.status import LOOK, Standing, State, Step, report
from django_upstash.breaker.windows import make_window
from django_upstash.forks import ForkSafeLock, Owner

# A probe of another process may end at any time: a refused caller asks again after this many seconds.
SOON = 1.0
# Failures that decide nothing are reported to other processes this often at most, in seconds.
REPORT_PAUSE = 1.0


class CallOutcome(Enum):
    """What a call has shown."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEITHER = ""  # it was cancelled, or the process ends


class Answer(Enum):
    """Whether a call passes, is refused, or has to ask for the place of a probe."""

    PASS = auto()
    ASK = auto()
    REFUSE = auto()


@dataclass(slots=True)
class Permit:
    """A call that was let through. ``token`` is a probe's; ``generation`` numbers the state it was let through in."""

    started: float
    generation: int
    token: str | None = None
    owner: Owner = field(default_factory=Owner)


@dataclass
class Stats:
    """What this process has counted of one circuit; ``opened_at`` is the last opening it knows of, since 1970."""

    calls: int = 0
    successes: int = 0
    failures: int = 0
    refusals: int = 0
    opens: int = 0
    opened_at: float | None = None


class Event(NamedTuple):
    """A change of state, to be told to the receivers of a signal."""

    signal: Signal
    arguments: dict[str, Any]


class Circuit:
    """
    The state of a circuit, until when it is known to last, and what the process has counted. Safe to use from threads.

    Times are those of ``clock``, in seconds.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.clock = monotonic
        self.state = State.CLOSED
        self.generation = 0
        self.asks_at = -inf  # when an open circuit may be asked about again
        self.ends_at = inf  # when a forced state that lets calls pass is over
        self.held = False  # open or half open by this process's own record, for the server was away
        self.forced_text: str | None = None
        self.is_stale = False
        self._forced_until = inf  # of a circuit that is forced open
        self._shape: object = None  # what the window was made for
        self._afresh = False  # whether there was a success since failures were last told of
        self._stats = Stats()
        self._lock = ForkSafeLock()
        self._told_refusals = 0
        self.after_fork()

    def after_fork(self) -> None:
        """In a forked child: count from zero, for the parent counts its own."""
        self._asking = self._told_refusals = 0
        self._stats = Stats(opened_at=self._stats.opened_at)
        self._record = CircuitRecord()
        self._begin_closed()

    @property
    def stats(self) -> Stats:
        with self._lock:
            counts = self._stats
            return Stats(*(getattr(counts, name) for name in Stats.__dataclass_fields__))

    def admit(self, options: BreakerOptions) -> Answer:
        """Decide about a call; one that has to ask must tell by ``asked`` when it is done with that."""
        now = self.clock()
        with self._lock:
            if now >= self.ends_at:
                self._change(State.CLOSED)
            if self.state.lets_pass:
                return Answer.PASS
            if now < self.asks_at or self._asking >= options.probes:
                return Answer.REFUSE
            self._asking += 1
            return Answer.ASK

    def asked(self) -> None:
        """End what ``admit`` has begun by answering ``ASK``."""
        with self._lock:
            self._asking = max(0, self._asking - 1)  # a forked child begins at none

    def refuse(self) -> float:
        """Count a refusal, and return after how many seconds another call has a chance."""
        with self._lock:
            self._stats.refusals += 1
            left = self.asks_at - self.clock()
            return left if left > 0 else SOON

    @property
    def untold_refusals(self) -> int:
        """How many calls were refused of which the others have not been told."""
        with self._lock:
            return self._stats.refusals - self._told_refusals

    def told_refusals(self, count: int) -> None:
        """Note that the others have been told of so many."""
        with self._lock:
            self._told_refusals += count

    def permit(self, token: str | None = None) -> Permit:
        return Permit(self.clock(), self.generation, token)

    def count(self, options: BreakerOptions, permit: Permit, outcome: CallOutcome, error: str = "") -> Step | None:
        """Count a call that has ended, with its error; return the step that the failures of this process ask for."""
        now = self.clock()
        with self._lock:
            self._add(outcome)
            # What was let through before the state changed says nothing about now.
            if permit.token or permit.generation != self.generation or self.state is not State.CLOSED:
                return None
            if outcome is CallOutcome.FAILURE:
                return self._failed(options, now, error)
            if outcome is CallOutcome.SUCCESS:
                self._succeeded(options, now)
            return None

    def decide_alone(self, step: Step) -> Standing:
        """Take a step on this process's own record, for the server is away."""
        moment = self.clock()
        now = int(moment * 1000)
        with self._lock:
            if self.state is State.FORCED_OPEN and step[0] != "force":
                left = self._forced_until - moment
                return Standing(State.FORCED_OPEN, None if left == inf else left) if left > 0 else Standing()
            if step[0] in ("probe", "settle"):
                step = (*step[:-1], "1")  # what the server had opened is held here now
            standing = self._record.decide(step, now)
            opened_at = standing.opened_at and time() - (now / 1000 - standing.opened_at)
            return standing._replace(opened_at=opened_at)

    def take(self, standing: Standing, options: BreakerOptions, generation: int, *, alone: bool) -> list[Event]:
        """
        Learn the state of the circuit, and return what is to be told.

        ``generation`` is the one that the question was asked in: an answer that has been overtaken says nothing.
        """
        now = self.clock()
        with self._lock:
            if generation != self.generation:
                return []
            if not alone:
                self._record = CircuitRecord()
            before, state = self.state, standing.state
            if state is not before:
                self._change(state)
            self._note(standing, options, now, alone)
            return self._events(before, standing)

    def _note(self, standing: Standing, options: BreakerOptions, now: float, alone: bool) -> None:
        state, left = standing.state, standing.left
        self.held = alone and state in (State.OPEN, State.HALF_OPEN)
        self._stats.opened_at = standing.opened_at or self._stats.opened_at
        if state is State.OPEN:
            self.asks_at = now + (left or 0.0)
        elif state is State.HALF_OPEN:
            self.asks_at = now + min(left or 0.0, SOON)
        elif state is State.FORCED_OPEN:
            self.asks_at = now + (options.timeout if left is None else left)
            self._forced_until = inf if left is None else self.asks_at
        else:
            self.ends_at = inf if left is None else now + left
        if state.is_forced and self.forced_text is None:
            self.forced_text = ""  # whatever is read of it next, or nothing, is news
        if state is State.CLOSED and not self._afresh:
            self._shared_failures = standing.failures

    def _events(self, before: State, standing: Standing) -> list[Event]:
        state = standing.state
        if state is State.OPEN and standing.decided_here:
            self._stats.opens += 1
        if state is before or (state.lets_pass and before.lets_pass):
            return []
        signal = signals.half_opened if state is State.HALF_OPEN else signals.closed
        if state in (State.OPEN, State.FORCED_OPEN):
            signal = signals.opened
        return [Event(signal, {"breaker": self.name, "state": state, "decided_here": standing.decided_here})]

    def _change(self, state: State) -> None:
        self.state, self.ends_at = state, inf
        self.generation += 1
        self._begin_closed()

    def _begin_closed(self) -> None:
        self._shape = None
        self._unreported = self._shared_failures = 0
        self._afresh = False
        self._reported_at = -inf

    def _add(self, outcome: CallOutcome) -> None:
        self._stats.calls += 1
        self._stats.successes += outcome is CallOutcome.SUCCESS
        self._stats.failures += outcome is CallOutcome.FAILURE

    def _see(self, options: BreakerOptions, failed: bool, now: float) -> None:
        shape = (options.failure_rate, options.window_calls, options.window_seconds, options.minimum_calls)
        if shape != self._shape:
            self._window, self._shape = make_window(options), shape
        self._window.add(failed, now)

    def _succeeded(self, options: BreakerOptions, now: float) -> None:
        self._see(options, False, now)
        self._unreported = self._shared_failures = 0
        self._afresh = True

    def _failed(self, options: BreakerOptions, now: float, error: str) -> Step | None:
        self._see(options, True, now)
        self._unreported += 1
        tripped = self._window.trips(now)
        in_a_row = options.failure_rate is None
        is_enough = in_a_row and self._shared_failures + self._unreported >= options.failure_threshold
        if not (tripped or is_enough or now - self._reported_at >= REPORT_PAUSE):
            return None
        step = report(options, self._unreported, afresh=self._afresh, tripped=tripped, error=error)
        self._shared_failures += self._unreported
        self._unreported, self._afresh, self._reported_at = 0, False, now
        return step if in_a_row or tripped else LOOK
