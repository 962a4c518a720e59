"""The record in the process decides as the script on the server does."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_upstash.breaker.operations import decide
from django_upstash.breaker.record import Record
from django_upstash.breaker.standing import LOOK, Standing, State, Step, force, probe, report, settle
from django_upstash.breaker_options import BreakerOptions
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
        lambda count, afresh, tripped: report(OPTIONS, count, afresh=afresh, tripped=tripped),
        st.integers(1, 2),
        flags,
        st.sampled_from([False, False, True]),
    ),
    st.builds(lambda token, held: probe(OPTIONS, token, held=held), tokens, flags),
    st.builds(
        lambda token, outcome, held: settle(OPTIONS, token, outcome, held=held),
        tokens,
        st.sampled_from(["success", "failure", ""]),
        flags,
    ),
    st.builds(force, st.sampled_from(["open", "closed", "disabled", "-"]), st.sampled_from([None, 150.0])),
    st.integers(1, 4),
)


@given(st.lists(steps, max_size=12))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_record__decides_as_the_script(valkey: Server, native: Connection, taken: list[Step | int]) -> None:
    valkey.call("DEL", "breaker:stripe")
    record, now = Record(), 1_000_000
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


def test_parse__what_is_no_record_is_none(valkey: Server, native: Connection) -> None:
    for text in ("", "open", "open x 0 0 0 0 - 0", "ajar 1 0 0 0 0 - 0", "open 1 0 0 0 0 - 0 x"):
        assert Record.parse(text.encode()) == Record()
    assert Record.parse(None) == Record()


def test_script__reads_what_the_parser_reads(valkey: Server, native: Connection) -> None:
    step = probe(OPTIONS, "a1", held=True)
    native.run(decide(native.capabilities, "stripe", step))
    record = Record.parse(valkey.call("GET", "breaker:stripe"))
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
