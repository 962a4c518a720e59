"""Three processes and a circuit, against a plain model of what each of them may know."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Any

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from django_upstash.breaker import CircuitBreaker, CircuitOpen
from django_upstash.operations.steps import drive
from tests.breaker.conftest import NAME, Failure, Process, let_pass
from tests.servers import Server

PROCESSES = 3
# All times are so far from each other that a slow machine makes no difference.
UNIT, TIMEOUT, LEASE, FORCED = 100.0, 1050.0, 650.0, 850.0
OPTIONS = {"failure_threshold": 3, "success_threshold": 2, "probes": 2, "timeout": TIMEOUT, "probe_timeout": LEASE}

whose = st.integers(0, PROCESSES - 1)


@dataclass
class Knowledge:
    """What a process knows."""

    state: str = "closed"
    asks_at: float = 0.0
    ends_at: float = inf
    changes: int = 0
    has_succeeded: bool = False

    def learn(self, state: str, lasts_until: float | None, now: float) -> None:
        if state != self.state:
            self.state, self.changes, self.has_succeeded = state, self.changes + 1, False
        self.ends_at = inf
        if state in ("closed", "forced_closed", "forced_disabled"):
            self.ends_at = lasts_until or inf
        else:
            self.asks_at = lasts_until or (now + TIMEOUT if state == "forced_open" else now)


@dataclass
class Call:
    """A call that was let through, and the number of the state that it was let through in."""

    process: int
    entry: Any
    changes: int
    is_probe: bool
    place_ends: float = 0.0


@dataclass
class Model:
    now: float = 0.0
    state: str = "closed"
    until: float = 0.0
    row: int = 0
    successes: int = 0
    probes: list[Call] = field(default_factory=list)
    forced: str = ""
    forced_until: float = inf

    def stands(self) -> tuple[str, float | None]:
        if self.forced and self.forced_until <= self.now:
            self.forced = ""
        if self.forced:
            return f"forced_{self.forced}", None if self.forced_until == inf else self.forced_until
        self.probes = [call for call in self.probes if call.place_ends > self.now]
        return self.state, self.until if self.state == "open" else None

    def become(self, state: str) -> None:
        self.state, self.row, self.successes, self.probes = state, 0, 0, []
        self.until = self.now + TIMEOUT

    def takes_probe(self) -> bool:
        state, _ = self.stands()
        if state == "open" and self.until <= self.now:
            self.become("half_open")
            state = "half_open"
        return state == "half_open" and len(self.probes) < OPTIONS["probes"]


def make_breaker() -> CircuitBreaker:
    return CircuitBreaker(NAME, alias="native", refresh=None, **OPTIONS)  # type: ignore[arg-type]


class Machine(RuleBasedStateMachine):
    server: Server

    def __init__(self) -> None:
        super().__init__()
        self.server.call("FLUSHALL")
        self.processes = [Process(make_breaker()) for _ in range(PROCESSES)]
        self.known = [Knowledge() for _ in range(PROCESSES)]
        self.calls: list[Call] = []
        self.model = Model()

    @rule(units=st.sampled_from([1, 3, 7, 11]))
    def time_passes(self, units: int) -> None:
        let_pass(self.server, units * UNIT, *self.processes)
        self.model.now += units * UNIT

    @rule(number=whose)
    def enter(self, number: int) -> None:
        self.time_passes(1)
        expected = self.expected(number)
        breaker = self.processes[number].breaker
        try:
            entry = drive(breaker._enter())
        except CircuitOpen:
            assert expected is None
        else:
            assert expected is not None
            expected.entry = entry
            assert (entry.permit is not None and entry.permit.token is not None) is expected.is_probe
            self.calls.append(expected)
        assert breaker.state == self.known[number].state

    def expected(self, number: int) -> Call | None:
        """Return the call that is let through, or None for a refusal."""
        known, model = self.known[number], self.model
        if model.now >= known.ends_at:
            known.learn("closed", None, model.now)
        if known.state in ("open", "half_open", "forced_open"):
            if model.now < known.asks_at:
                return None
            if model.takes_probe():
                known.learn("half_open", None, model.now)
                call = Call(number, None, known.changes, True, model.now + LEASE)
                model.probes.append(call)
                return call
            known.learn(*model.stands(), model.now)
        passes = known.state in ("closed", "forced_closed", "forced_disabled")
        return Call(number, None, known.changes, False) if passes else None

    @rule(data=st.data(), outcome=st.sampled_from(["success", "failure", "failure", "neither"]))
    def leave(self, data: st.DataObject, outcome: str) -> None:
        if not self.calls:
            return
        self.time_passes(1)
        call = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
        error = {"success": None, "failure": Failure(), "neither": KeyboardInterrupt()}[outcome]
        breaker = self.processes[call.process].breaker
        drive(breaker._leave(call.entry, error))
        if call.is_probe:
            self.settle(call, outcome)
        else:
            self.count(call, outcome)
        assert breaker.state == self.known[call.process].state

    def settle(self, call: Call, outcome: str) -> None:
        model = self.model
        state, _ = model.stands()
        if state == "half_open" and call in model.probes:
            model.probes.remove(call)
            if outcome == "failure":
                model.become("open")
            elif outcome == "success":
                model.successes += 1
                if model.successes == OPTIONS["success_threshold"]:
                    model.become("closed")
        self.known[call.process].learn(*model.stands(), model.now)

    def count(self, call: Call, outcome: str) -> None:
        known, model = self.known[call.process], self.model
        if known.state != "closed" or known.changes != call.changes:
            return
        if outcome == "success":
            known.has_succeeded = True
        elif outcome == "failure":
            if model.stands()[0] == "closed":
                model.row = (0 if known.has_succeeded else model.row) + 1
                if model.row >= OPTIONS["failure_threshold"]:
                    model.become("open")
            known.has_succeeded = False
            known.learn(*model.stands(), model.now)

    @rule(number=whose, kind=st.sampled_from(["open", "closed", "disabled", ""]), ends=st.booleans())
    def force(self, number: int, kind: str, ends: bool) -> None:
        self.time_passes(1)
        process, model = self.processes[number].breaker, self.model
        seconds = FORCED if ends else None
        if kind:
            {"open": process.force_open, "closed": process.force_close, "disabled": process.disable}[kind](seconds)
        else:
            process.release()
        model.become("closed")
        model.forced, model.forced_until = kind, model.now + FORCED if ends and kind else inf
        self.known[number].learn(*model.stands(), model.now)
        assert process.state == self.known[number].state


def test_state_machine(valkey: Server, upstash: dict[str, dict[str, Any]]) -> None:
    class OnValkey(Machine):
        server = valkey

    settings = hypothesis_settings(max_examples=150, stateful_step_count=40, deadline=None)
    run_state_machine_as_test(OnValkey, settings=settings)
