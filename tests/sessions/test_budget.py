"""What each use of a session costs: round trips and billed commands, counted by the servers."""

from __future__ import annotations

from collections.abc import Callable
from time import sleep
from typing import Any

import pytest

from django_upstash.sessions import log_out_everywhere
from django_upstash.sessions.session_keys import now
from tests.servers import Server
from tests.sessions.conftest import Open

pytestmark = pytest.mark.matrix

Counting = Callable[[], Any]


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def log_in(session: Any, user: str = "7") -> None:
    session.get("_auth_user_id")
    session.cycle_key()
    session["_auth_user_id"] = user
    session.save()


@pytest.fixture
def key(session: Any) -> str:
    """The id of a stored session; the connection is open."""
    session["a"] = 1
    session.save()
    return str(session.session_key)


def test_read(key: str, open_session: Open, counting: Counting) -> None:
    with counting() as cost:
        assert open_session(key)["a"] == 1
    assert cost == (1, 1)


def test_read__of_nothing_stored(key: str, open_session: Open, counting: Counting) -> None:
    with counting() as cost:
        assert open_session("0" * 32).get("a") is None
    assert cost == (1, 1)
    with counting() as cost:
        assert open_session().get("a") is None
    assert cost == (0, 0)


def test_first_write(key: str, open_session: Open, counting: Counting) -> None:
    session = open_session()
    session["a"] = 1
    with counting() as cost:
        session.save()
    assert cost == (1, 1)


@pytest.mark.parametrize("merge", [False, True])
def test_load_change_save(
    key: str, open_session: Open, configure: Callable[..., None], counting: Counting, merge: bool
) -> None:
    configure(MERGE=merge)
    with counting() as cost:
        session = open_session(key)
        session["b"] = 2
        session.save()
    assert cost == (2, 2)


def test_login(key: str, open_session: Open, counting: Counting) -> None:
    with counting() as cost:
        log_in(open_session(key))
    assert cost == (3, 3)


def test_login__with_the_index(
    key: str, open_session: Open, configure: Callable[..., None], counting: Counting
) -> None:
    configure(INDEX=True)
    with counting() as cost:
        log_in(open_session(key))
    assert cost == (3, 4)


def test_login__without_a_session_before(key: str, open_session: Open, counting: Counting) -> None:
    with counting() as cost:
        log_in(open_session())
    assert cost == (1, 1)


@pytest.mark.parametrize("merge", [False, True])
def test_save__of_a_logged_in_session_writes_the_index_in_the_same_round_trip(
    key: str, open_session: Open, configure: Callable[..., None], counting: Counting, merge: bool
) -> None:
    configure(INDEX=True, MAX_PER_USER=3, MERGE=merge)
    session = open_session(key)
    log_in(session)
    with counting() as cost:
        again = open_session(session.session_key)
        again["b"] = 2
        again.save()
    assert cost == (2, 3)
    with counting() as cost:
        assert open_session(session.session_key)["b"] == 2
    assert cost == (1, 1)


def test_log_out_everywhere(key: str, open_session: Open, configure: Callable[..., None], counting: Counting) -> None:
    configure(INDEX=True)
    session = open_session(key)
    log_in(session)
    with counting() as cost:
        assert log_out_everywhere("7") == 1
    assert cost == (2, 4)


@pytest.mark.parametrize(("index", "commands"), [(False, 1), (True, 2)])
def test_logout(
    key: str, open_session: Open, configure: Callable[..., None], counting: Counting, index: bool, commands: int
) -> None:
    configure(INDEX=index)
    session = open_session(key)
    log_in(session)
    again = open_session(session.session_key)
    assert again["_auth_user_id"] == "7"
    with counting() as cost:
        again.flush()
    assert cost == (1, commands)


def test_save_every_request__of_an_unchanged_session_is_the_reading_alone(
    key: str, open_session: Open, settings: Any, counting: Counting
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = True
    for _ in range(3):
        with counting() as cost:
            open_session(key).save()
        assert cost == (1, 1)


def test_save_every_request__renews_once_per_threshold(
    key: str, open_session: Open, settings: Any, configure: Callable[..., None], counting: Counting, bystander: Any
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = True
    configure(RENEW_AFTER=0.000_000_001)  # of two weeks: about a millisecond
    (name,) = bystander.keys("*")
    bystander.pexpire(name, 60_000)
    sleep(0.005)  # so that it is old enough
    with counting() as cost:
        open_session(key).save()
    assert cost == (2, 2)
    assert bystander.pttl(name) > 60_000

    configure(RENEW_AFTER=3600)
    with counting() as cost:
        open_session(key).save()
    assert cost == (1, 1)


def test_save_every_request__renews_what_a_clock_that_was_ahead_has_stored(
    key: str, open_session: Open, settings: Any, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = True
    with monkeypatch.context() as patch:
        patch.setattr("django_upstash.sessions.store.now", lambda: now() + 86_400_000)
        changed = open_session(key)
        changed["a"] = 2
        changed.save()
    with counting() as cost:
        open_session(key).save()
    assert cost == (2, 2)
    with counting() as cost:
        open_session(key).save()
    assert cost == (1, 1)


def test_save_every_request__writes_what_has_changed(
    key: str, open_session: Open, settings: Any, counting: Counting
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = True
    session = open_session(key)
    session["nested"] = {}
    session.save()
    again = open_session(key)
    again["nested"]["deep"] = 1
    with counting() as cost:
        again.save()
    assert cost == (1, 1)
    assert open_session(key)["nested"] == {"deep": 1}


def test_commands__are_these(key: str, open_session: Open, configure: Callable[..., None], valkey: Server) -> None:
    configure(INDEX=True)
    with valkey.counting() as counted:
        session = open_session(key)
        log_in(session)
        session.flush()
    assert dict(counted.by_command) == {"get": 1, "set": 1, "del": 2, "sadd": 1, "srem": 1}
