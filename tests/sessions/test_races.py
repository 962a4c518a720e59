"""Requests that use one session at the same time."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import combinations
from typing import Any

import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted

from tests.sessions.conftest import Open

Configure = Callable[..., None]
Steps = list[Callable[[], Any]]


def interleavings(count: int, others: int) -> list[list[int]]:
    """Return all ways to run so many steps of one request among those of another: whose step comes when."""
    places = combinations(range(count + others), count)
    return [[0 if place in taken else 1 for place in range(count + others)] for taken in places]


def saver(session: Any, done: list[str]) -> Steps:
    def save() -> None:
        session["x"] = 2
        try:
            session.save()
            done.append("saved")
        except UpdateError:
            done.append("refused")

    return [lambda: session.get("x"), save]


@pytest.mark.matrix
@pytest.mark.parametrize("order", interleavings(2, 2))
@pytest.mark.parametrize("merge", [False, True])
def test_logout__is_final_in_every_interleaving(
    configure: Configure, open_session: Open, order: list[int], merge: bool
) -> None:
    configure(MERGE=merge)
    first = open_session()
    first["x"] = 1
    first.save()
    leaving, done = open_session(first.session_key), list[str]()
    requests = [iter(saver(open_session(first.session_key), done)), iter([lambda: leaving.get("x"), leaving.flush])]
    for request in order:
        next(requests[request])()
    assert not first.exists(first.session_key)
    assert len(done) == 1


def read_twice(session: Any, open_session: Open, **data: Any) -> tuple[Any, Any]:
    """Store a session and return it as two requests have read it."""
    session.update({"x": 1, **data})
    session.save()
    first, second = open_session(session.session_key), open_session(session.session_key)
    assert first["x"] == second["x"] == 1
    return first, second


@pytest.mark.matrix
@pytest.mark.parametrize("index", [False, True])
def test_new_id__of_a_logged_in_session_that_has_gone_is_refused(
    session: Any, open_session: Open, configure: Configure, bystander: Any, index: bool
) -> None:
    configure(INDEX=index)
    leaving, other = read_twice(session, open_session, _auth_user_id="7")
    leaving.flush()
    other.cycle_key()
    for _ in range(2):  # nor does it come back at a second attempt
        with pytest.raises(UpdateError) as refused:
            other.save()
    assert isinstance(refused.value, SessionInterrupted)  # which Django answers with 400
    assert bystander.dbsize() == 0


@pytest.mark.matrix
def test_login__of_an_anonymous_session_that_has_gone(session: Any, open_session: Open) -> None:
    leaving, other = read_twice(session, open_session)
    leaving.flush()
    other.cycle_key()
    other["_auth_user_id"] = "7"
    other.save()
    assert dict(open_session(other.session_key).items()) == {"x": 1, "_auth_user_id": "7"}


@pytest.mark.matrix
@pytest.mark.parametrize("order", interleavings(3, 3))
def test_login__two_at_once_both_succeed(session: Any, open_session: Open, order: list[int]) -> None:
    """As by a double click on the button, and as with Django's engines."""
    session["x"] = 1
    session.save()
    logins = [open_session(session.session_key), open_session(session.session_key)]

    def steps(request: Any) -> Iterator[None]:
        yield request.get("x")
        request.cycle_key()
        request["_auth_user_id"] = "7"
        yield
        yield request.save()

    requests = [steps(request) for request in logins]
    for request in order:
        next(requests[request])
    assert all(open_session(request.session_key).get("_auth_user_id") == "7" for request in logins)
    assert not session.exists(session.session_key)


@pytest.mark.matrix
def test_login__leaves_no_old_id(session: Any, open_session: Open, bystander: Any) -> None:
    session["x"] = 1
    session.save()
    fixed = session.session_key
    victim = open_session(fixed)
    victim.get("x")
    victim.cycle_key()
    assert not victim.exists(fixed)
    victim["_auth_user_id"] = "1"
    victim.save()
    assert bystander.dbsize() == 1
    assert open_session(fixed).get("_auth_user_id") is None


@pytest.mark.matrix
@pytest.mark.parametrize("ending", ["flush", "delete"])
def test_new_id__that_is_ended_before_it_is_saved_ends_the_old_one(
    session: Any, open_session: Open, bystander: Any, configure: Configure, ending: str
) -> None:
    configure(INDEX=True)
    _, request = read_twice(session, open_session, _auth_user_id="7")
    request.cycle_key()
    request.cycle_key()
    getattr(request, ending)()
    assert bystander.dbsize() == 0


def race(open_session: Open, rounds: int, ending: Callable[[Any], None]) -> None:
    """Let one thread save and another end a session, as often as told."""
    randomness = random.Random()
    with ThreadPoolExecutor(2) as pool:
        for _ in range(rounds):
            first = open_session()
            first["x"] = 1
            first.save()
            start = threading.Barrier(2)
            pauses = [randomness.randrange(2000) for _ in range(2)]

            def save(key: str, start: threading.Barrier = start, pause: int = pauses[0]) -> None:
                session = open_session(key)
                start.wait()
                for _ in range(pause):
                    pass
                session["x"] = session.get("x", 0) + 1
                with suppress(UpdateError):
                    session.save()

            def end(key: str, start: threading.Barrier = start, pause: int = pauses[1]) -> None:
                session = open_session(key)
                start.wait()
                for _ in range(pause):
                    pass
                ending(session)

            for request in [pool.submit(save, first.session_key), pool.submit(end, first.session_key)]:
                request.result()
            assert not first.exists(first.session_key)


def log_in(session: Any) -> None:
    session.get("x")
    session.cycle_key()
    session["_auth_user_id"] = "1"
    session.save()


def log_out(session: Any) -> None:
    session.get("x")
    session.flush()


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("driver", ["sync"])
@pytest.mark.parametrize("route", ["native", pytest.param("rest", marks=pytest.mark.slow)])
@pytest.mark.parametrize("ending", [log_out, log_in])
def test_threads__an_ended_session_stays_ended_in_1000_interleavings(
    open_session: Open, ending: Callable[[Any], None]
) -> None:
    race(open_session, 1000, ending)


@pytest.mark.matrix
def test_merge__keeps_both_requests_changes(configure: Configure, open_session: Open) -> None:
    configure(MERGE=True)
    session = open_session()
    session.update({"kept": 1, "mine": 1, "theirs": 1, "dropped by me": 1, "dropped by them": 1, "both": 1})
    session.save()
    mine, theirs = open_session(session.session_key), open_session(session.session_key)
    for request, name in ((mine, "mine"), (theirs, "theirs")):
        request[name], request["both"] = 2, name
        request[f"new of {name}"] = 1
    mine.pop("dropped by me")
    theirs.pop("dropped by them")
    theirs.save()
    mine.save()

    expected = {"kept": 1, "mine": 2, "theirs": 2, "both": "mine", "new of mine": 1, "new of theirs": 1}
    assert dict(open_session(session.session_key).items()) == expected
    assert dict(mine.items()) == expected


@pytest.mark.matrix
def test_merge__off_the_last_one_counts(session: Any, open_session: Open) -> None:
    session.save()
    first, second = open_session(session.session_key), open_session(session.session_key)
    first["a"], second["b"] = 1, 2
    first.save()
    second.save()
    assert dict(open_session(session.session_key).items()) == {"b": 2}


@pytest.mark.matrix
def test_merge__by_script_where_the_server_cannot_compare(
    configure: Configure, open_session: Open, route: str, bystander: Any
) -> None:
    from django_upstash.connections import connections

    configure(MERGE=True, INDEX=True)
    connections[route].capabilities.lacks.add("SET IFEQ")
    session = open_session()
    session.save()
    first, second, third = (open_session(session.session_key) for _ in range(3))
    first["a"], second["b"], third["c"] = 1, 2, 3
    first["_auth_user_id"] = "7"
    first.save()
    second.save()
    assert dict(open_session(session.session_key).items()) == {"a": 1, "b": 2, "_auth_user_id": "7"}
    assert bystander.scard("session-of:7") == 1
    session.delete()
    with pytest.raises(UpdateError):
        third.save()


@pytest.mark.parametrize("driver", ["sync"])
@pytest.mark.parametrize("route", ["native", "rest"])
def test_merge__of_many_threads_loses_nothing(configure: Configure, open_session: Open) -> None:
    configure(MERGE=True)
    session = open_session()
    session.save()

    def write(number: int) -> None:
        request = open_session(session.session_key)
        request[f"thread {number}"] = number
        request.save()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(write, range(48)))
    assert dict(open_session(session.session_key).items()) == {f"thread {number}": number for number in range(48)}
