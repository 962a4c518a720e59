"""
Tags under concurrent writers, read and written step by step in every order that hypothesis finds.

Each operation is run one round trip at a time, and others in between. A value has a moment: when it was computed, or
for one that is simply set, when that looked at its tags. No read may return a value whose moment lies before an
invalidation of its tags that had ended when the read began.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from django_upstash.cache import many, operations, tags
from django_upstash.cache.protection import CacheProtection
from django_upstash.cache.single_flight import Party
from django_upstash.cache.stampede import GetOrSet
from django_upstash.operations import Operation
from django_upstash.operations.steps import Call, Run
from tests.cache.conftest import OpenCache
from tests.servers import Server

pytestmark = pytest.mark.matrix

KEYS, TAGS = ["a", "b"], ["news", "sport"]
MOST_RUNNING = 4
# Callers that share a flight would wait for each other, in the one thread there is.
ALONE = Party(waits=False)
keys = st.sampled_from(KEYS)
tag_sets = st.lists(st.sampled_from(TAGS), unique=True, min_size=1)


class Tagged(RuleBasedStateMachine):
    """A cache, and several who use it at once."""

    cache: Any
    server: Server

    def __init__(self) -> None:
        super().__init__()
        self.server.call("FLUSHALL")
        self.clock = itertools.count(1)
        self.invalidated = dict.fromkeys(TAGS, 0)
        self.moments: dict[int, int] = {}
        self.running: list[Generator[None, None, None]] = []

    @rule(key=keys, carried=tag_sets)
    def begin_set(self, key: str, carried: list[str]) -> None:
        self._begin(self._store(lambda value: operations.set(self.cache.keyspace, key, value, tags=carried), carried))

    @rule(key=keys, carried=tag_sets)
    def begin_set_many(self, key: str, carried: list[str]) -> None:
        self._begin(self._store(lambda value: many.set_many(self.cache.keyspace, {key: value}, tags=carried), carried))

    @rule(key=keys, carried=tag_sets)
    def begin_add(self, key: str, carried: list[str]) -> None:
        self._begin(self._store(lambda value: operations.add(self.cache.keyspace, key, value, tags=carried), carried))

    @rule(key=keys, carried=tag_sets, early=st.sampled_from([0, 1e9]))
    def begin_get_or_set(self, key: str, carried: list[str], early: float) -> None:
        self._begin(self._get_or_set(key, carried, early))

    @rule(key=keys)
    def begin_get(self, key: str) -> None:
        self._begin(self._get(key))

    @rule()
    def begin_get_many(self) -> None:
        self._begin(self._get_many())

    @rule(key=keys)
    def begin_has_key(self, key: str) -> None:
        self._begin(self._has_key(key))

    @rule(tag=st.sampled_from(TAGS))
    def invalidate(self, tag: str) -> None:
        self.cache.invalidate_tags(tag)
        self.invalidated[tag] = next(self.clock)

    @rule(tag=st.sampled_from(TAGS))
    def lose_a_record(self, tag: str) -> None:
        self.cache.connection.redis.delete(self.cache.keyspace.aside("tag", tags.ids(self.cache.keyspace, [tag])[0]))

    @rule(which=st.integers(0, MOST_RUNNING - 1))
    def step(self, which: int) -> None:
        if which < len(self.running):
            self._step(self.running[which])

    @rule(key=keys)
    def delete(self, key: str) -> None:
        self.cache.delete(key)

    def teardown(self) -> None:
        while self.running:
            self._step(self.running[0])

    def _begin(self, running: Generator[None, None, None]) -> None:
        while len(self.running) >= MOST_RUNNING:
            self._step(self.running[0])
        self.running.append(running)
        self._step(running)

    def _step(self, running: Generator[None, None, None]) -> None:
        try:
            next(running)
        except StopIteration:
            self.running.remove(running)

    def _run(self, operation: Operation[Any], number: int = 0) -> Generator[None, None, Any]:
        """Run an operation one round trip at a time, and return its result."""
        route = self.cache.connection.route
        while True:
            yield
            if operation.commands[-1][0] == "MGET":
                self.moments[number] = next(self.clock)
            replies = route.execute(operation.commands, atomic=operation.atomic, replay_safe=operation.replay_safe)
            result = operation.parse(replies)
            if not isinstance(result, Operation):
                return result
            operation = result

    def _store(self, build: Callable[[Any], Operation[Any]], carried: list[str]) -> Generator[None, None, None]:
        number = next(self.clock)
        yield from self._run(build((number, tuple(carried))), number)

    def _get_or_set(self, key: str, carried: list[str], early: float) -> Generator[None, None, None]:
        before = dict(self.invalidated)

        def compute() -> Any:
            number = next(self.clock)
            self.moments[number] = number
            return number, tuple(carried)

        asked = GetOrSet(self.cache, key, compute, None, None, CacheProtection(early=early, tags=carried))
        flow = asked.flow(ALONE)
        effect = next(flow)
        try:
            while True:
                if isinstance(effect, Call):
                    result = compute()
                    yield
                else:
                    assert isinstance(effect, Run)
                    result = yield from self._run(effect.operation)
                effect = flow.send(result)
        except StopIteration as end:
            self._check(end.value, before)

    def _get(self, key: str) -> Generator[None, None, None]:
        before = dict(self.invalidated)
        self._check((yield from self._run(operations.get(self.cache.keyspace, key))), before)

    def _get_many(self) -> Generator[None, None, None]:
        before = dict(self.invalidated)
        for value in (yield from self._run(many.get_many(self.cache.keyspace, KEYS))).values():
            self._check(value, before)

    def _has_key(self, key: str) -> Generator[None, None, None]:
        """What has_key sees, get sees, where nobody is at work in between."""
        there = yield from self._run(operations.has_key(self.cache.keyspace, key))
        if len(self.running) == 1:
            assert there == (self.cache.get(key) is not None)

    def _check(self, value: Any, before: dict[str, int]) -> None:
        if value is not None:
            number, carried = value
            assert all(self.moments[number] > before[tag] for tag in carried)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("route", ["native", "rest"])
def test_tags__never_read_what_was_invalidated_before(route: str, make_cache: OpenCache, valkey: Server) -> None:
    cache = make_cache(route, KEY_PREFIX="shop", OPTIONS={"TAGS": True})
    machine = type("Machine", (Tagged,), {"cache": cache, "server": valkey})
    run_state_machine_as_test(
        machine,
        settings=hypothesis_settings(max_examples=60, stateful_step_count=40, deadline=None),
    )
