"""The record in the process decides as the script on the server does."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_upstash.breaker.operations import decide, look
from django_upstash.breaker.record import CircuitRecord
from django_upstash.breaker.settings import BreakerOptions
from django_upstash.breaker.status import LOOK, Standing, State, Step, force, probe, report, settle
from django_upstash.connections import Connection
from tests.breaker.conftest import let_pass
from tests.servers import Server

# Deadlines are odd halves of what passes at a time, so that a slow machine does not turn them around.
UNIT = 100
OPTIONS = BreakerOptions(failure_threshold=3, timeout=250, probes=2, probe_timeout=350)

flags = st.booleans()
tokens = st.sampled_from(["a1", "b2", "c3"])
steps = st.one_of(
    st.just(LOOK),
    st.builds(
        lambda count, afresh, tripped: report(OPTIONS, count, afresh=afresh, tripped=tripped, error="TimeoutError"),
        st.integers(1, 2),
        flags,
        st.sampled_from([False, False, True]),
    ),
    st.builds(lambda token, held: probe(OPTIONS, token, held=held, refused=3), tokens, flags),
    st.builds(
        lambda token, outcome, held: settle(OPTIONS, token, outcome, held=held, error="a.b c"),
        tokens,
        st.sampled_from(["success", "failure", ""]),
        flags,
    ),
    st.builds(force, st.sampled_from(["open", "closed", "disabled", "-"]), st.sampled_from([None, 150.0])),
    st.integers(1, 4),
    st.sampled_from([-1, -40, -1000]),  # the clock is set back
)


@given(st.lists(steps, max_size=12))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_record__decides_as_the_script(valkey: Server, native: Connection, taken: list[Step | int]) -> None:
    valkey.call("DEL", "breaker:stripe")
    record, now = CircuitRecord(), 10**12
    for step in taken:
        if isinstance(step, int):
            now += step * UNIT * 1000
            let_pass(valkey, step * UNIT)
            continue
        said = native.run(decide(native.capabilities, "stripe", step))
        assert comparable(record.decide(step, now)) == comparable(said), step


def comparable(standing: Standing) -> tuple[Any, ...]:
    left = None if standing.left is None else round(standing.left / 50)
    return standing._replace(left=left, opened_at=standing.opened_at is not None)


STEP_BACK = 86_400


def test_step_back__an_open_circuit_stays_so_for_its_timeout(valkey: Server, native: Connection) -> None:
    opening = report(OPTIONS, 1, afresh=False, tripped=True)
    native.run(decide(native.capabilities, "stripe", opening))
    let_pass(valkey, -STEP_BACK)
    looked = native.run(look("stripe"))
    asked = native.run(decide(native.capabilities, "stripe", probe(OPTIONS, "a1", held=False)))
    for found in (looked, asked):
        assert found.state is State.OPEN
        assert found.left == pytest.approx(OPTIONS.timeout, abs=1)
        assert found.opened_at == pytest.approx(time.time(), abs=20)
    let_pass(valkey, OPTIONS.timeout + 1)
    assert native.run(decide(native.capabilities, "stripe", probe(OPTIONS, "a1", held=False))).granted


def test_step_back__a_dead_prober_keeps_its_place_for_its_lease(valkey: Server, native: Connection) -> None:
    for token in ("a1", "b2"):
        native.run(decide(native.capabilities, "stripe", probe(OPTIONS, token, held=True)))
    let_pass(valkey, -STEP_BACK)
    third = probe(OPTIONS, "c3", held=False)
    assert not native.run(decide(native.capabilities, "stripe", third)).granted
    let_pass(valkey, OPTIONS.probe_timeout + 1)
    assert native.run(decide(native.capabilities, "stripe", third)).granted


def test_step_back__a_probe_that_lives_still_counts(valkey: Server, native: Connection) -> None:
    native.run(decide(native.capabilities, "stripe", probe(OPTIONS, "a1", held=True)))
    let_pass(valkey, -STEP_BACK)
    native.run(decide(native.capabilities, "stripe", probe(OPTIONS, "b2", held=False)))
    told = native.run(decide(native.capabilities, "stripe", settle(OPTIONS, "a1", "failure", held=False)))
    assert (told.state, told.decided_here) == (State.OPEN, True)


def test_parse__what_is_no_record_is_none(valkey: Server, native: Connection) -> None:
    for text in ("", "open", "open x 0 0 0 0 - 0", "ajar 1 0 0 0 0 - 0", "open 1 0 0 0 0 - 0 x"):
        assert CircuitRecord.parse(text.encode()) == CircuitRecord()
    assert CircuitRecord.parse(None) == CircuitRecord()


def test_script__reads_what_the_parser_reads(valkey: Server, native: Connection) -> None:
    step = probe(OPTIONS, "a1", held=True)
    native.run(decide(native.capabilities, "stripe", step))
    record = CircuitRecord.parse(valkey.call("GET", "breaker:stripe"))
    assert (record.state, list(record.places)) == (State.HALF_OPEN, ["a1"])


def test_script__does_not_believe_what_is_no_record(valkey: Server, native: Connection) -> None:
    for text in ("ajar 1 0 0 0 0 - 0", "closed 0 0 0 0 0 lost 0", "open", "x"):
        valkey.call("SET", "breaker:stripe", text)
        found = native.run(decide(native.capabilities, "stripe", LOOK))
        assert found.state in (State.CLOSED, State.OPEN)


def test_record__lives_a_week_and_a_forced_one_until_released(valkey: Server, native: Connection) -> None:
    for step, least in ((report(OPTIONS, 1, afresh=False, tripped=False), 604_000), (force("open", None), -2)):
        native.run(decide(native.capabilities, "stripe", step))
        assert valkey.call("TTL", "breaker:stripe") >= least
    assert valkey.call("TTL", "breaker:stripe") == -1
    native.run(decide(native.capabilities, "stripe", force("-", None)))
    assert 604_000 < valkey.call("TTL", "breaker:stripe") <= 604_800
    assert valkey.call("HGETALL", "breaker-forced") == []


EARLIER = re.compile(
    rb"(closed|open|half_open)(?: (\d{1,15})){5} (-|open|closed|disabled) (\d{1,15})((?: \w+=\d{1,15})*)"
)


def test_notes__are_read_by_an_earlier_version_as_places_that_have_ended(valkey: Server, native: Connection) -> None:
    native.run(decide(native.capabilities, "stripe", report(OPTIONS, 3, afresh=False, tripped=False, error="a b-é")))
    text = valkey.call("GET", "breaker:stripe")
    match = EARLIER.fullmatch(text)
    assert match is not None
    assert sorted(match[5].split()) == [b"error_a_b_=0", b"failures_3=0", b"threshold_3=0"]
    record = CircuitRecord.parse(text)
    assert (record.notes, record.places) == ({"error": "a_b_", "failures": "3", "threshold": "3"}, {})
