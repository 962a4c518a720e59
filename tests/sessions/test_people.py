"""Users and their sessions: the index, its limits, and the end of sessions elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.base import UpdateError
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.test import RequestFactory

from django_upstash.sessions import (
    SessionStore,
    count_sessions,
    log_out,
    log_out_everywhere,
    sessions_for,
)
from django_upstash.sessions.bodies import SessionRecord
from django_upstash.sessions.session_keys import keyspace, now
from tests.sessions.conftest import Open

pytestmark = [pytest.mark.matrix, pytest.mark.usefixtures("without_last_login")]

Configure = Callable[..., None]


@pytest.fixture
def log_in(configure: Configure, open_session: Open) -> Open:
    """Return ``log_in(user, agent, session)``, which logs a user in and returns the session."""
    configure(INDEX=True)

    def log_in(user: str = "7", agent: str = "Browser", session: Any = None) -> Any:
        session = open_session() if session is None else session
        request = RequestFactory(REMOTE_ADDR="192.0.2.1", HTTP_USER_AGENT=agent).get("/")
        request.session = getattr(session, "session", session)
        session.get("_auth_user_id")
        session.cycle_key()
        session["_auth_user_id"] = user
        user_logged_in.send(sender=None, request=request, user=User(pk=1))
        session.save()
        return session

    return log_in


def test_sessions_for__tells_when_and_where(log_in: Open, call: Open) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    first, second = log_in(agent="Phone"), log_in(agent="Laptop")
    log_in("8")
    found = call(sessions_for, "7")
    assert {session.user_agent for session in found} == {"Phone", "Laptop"}
    assert {session.ip_address for session in found} == {"192.0.2.1"}
    for session in found:
        assert before <= session.created <= session.last_seen <= datetime.now(UTC)
        assert session.expires - session.last_seen == timedelta(days=14)
        assert session.is_session(first.session_key) is (session.user_agent == "Phone")
        assert session.is_session(second.session_key) is (session.user_agent == "Laptop")
        assert not session.is_session(None)
        assert session.id not in {first.session_key, second.session_key}


def test_sessions_for__takes_a_user_or_a_primary_key(log_in: Open, call: Open) -> None:
    log_in()
    assert len(call(sessions_for, User(pk=7))) == len(call(sessions_for, 7)) == len(call(sessions_for, "7")) == 1


def test_sessions_for__the_one_seen_last_comes_first(log_in: Open, open_session: Open, call: Open) -> None:
    first = log_in(agent="Phone")
    log_in(agent="Laptop")
    again = open_session(first.session_key)
    again["a"] = 1
    while now() <= call(sessions_for, "7")[0].last_seen.timestamp() * 1000:
        pass  # the saving is a millisecond later
    again.save()
    assert [session.user_agent for session in call(sessions_for, "7")] == ["Phone", "Laptop"]


def test_sessions_for__needs_the_index(session: Any, call: Open) -> None:
    session["_auth_user_id"] = "7"
    session.save()
    for function, arguments in ((sessions_for, ("7",)), (log_out_everywhere, ("7",)), (log_out, ("7", "x"))):
        with pytest.raises(ImproperlyConfigured, match="INDEX"):
            call(function, *arguments)


def test_index__is_joined_by_a_session_from_before_at_its_next_saving(
    configure: Configure, session: Any, open_session: Open, call: Open
) -> None:
    session["_auth_user_id"] = "7"
    session.save()
    configure(INDEX=True)
    assert call(sessions_for, "7") == []
    again = open_session(session.session_key)
    again["a"] = 1
    again.save()
    assert len(call(sessions_for, "7")) == 1


def test_index__follows_a_new_id_and_a_new_user(log_in: Open, call: Open, bystander: Any) -> None:
    session = log_in("7")
    session.cycle_key()
    session.save()
    assert bystander.scard("session-of:7") == 1
    assert call(sessions_for, "7")[0].is_session(session.session_key)
    session["_auth_user_id"] = "8"
    session.save()
    assert call(sessions_for, "7") == []
    assert call(sessions_for, "8")[0].is_session(session.session_key)


def test_index__is_left_at_logout(log_in: Open, call: Open, bystander: Any) -> None:
    session = log_in()
    session.flush()
    assert bystander.dbsize() == 0


def test_index__that_somebody_wrote_into_names_nobody_elses_session(log_in: Open, call: Open, bystander: Any) -> None:
    log_in("7")
    log_in("8")
    bystander.sunionstore("session-of:8", "session-of:7", "session-of:8")
    bystander.sadd("session-of:8", "nonsense", b"\xff")
    assert len(call(sessions_for, "8")) == 1
    foreign = call(sessions_for, "7")[0].id
    assert call(log_out, "8", foreign) is False
    assert call(count_sessions, "7") == 1


def test_log_out_everywhere__but_here(log_in: Open, open_session: Open, call: Open) -> None:
    here, there = log_in(), log_in()
    other = log_in("8")
    assert call(log_out_everywhere, "7", except_key=here.session_key) == 1
    assert open_session(here.session_key)["_auth_user_id"] == "7"
    assert open_session(there.session_key).get("_auth_user_id") is None
    assert open_session(other.session_key)["_auth_user_id"] == "8"
    there["a"] = 1
    with pytest.raises(UpdateError):
        there.save()
    assert call(log_out_everywhere, "7") == 1
    assert call(log_out_everywhere, "7") == 0
    assert call(sessions_for, "7") == []


def test_log_out__of_one(log_in: Open, call: Open) -> None:
    log_in(agent="Phone")
    log_in(agent="Laptop")
    (phone,) = [session.id for session in call(sessions_for, "7") if session.user_agent == "Phone"]
    assert call(log_out, "7", phone) is True
    assert call(log_out, "7", phone) is False
    assert [session.user_agent for session in call(sessions_for, "7")] == ["Laptop"]


def test_count_sessions(log_in: Open, open_session: Open, call: Open) -> None:
    for user in ("7", "7", "8"):
        log_in(user)
    open_session().save()
    assert (call(count_sessions, "7"), call(count_sessions, "9"), call(count_sessions)) == (2, 0, 4)


@pytest.mark.parametrize("limit", [1, 2])
def test_max_per_user__ends_the_oldest(
    log_in: Open, configure: Configure, open_session: Open, call: Open, limit: int
) -> None:
    configure(MAX_PER_USER=limit)
    sessions = []
    for _ in range(4):
        sessions.append(log_in())
        latest = max(session.created.timestamp() for session in call(sessions_for, "7"))
        while now() <= latest * 1000:
            pass  # the next login is a millisecond later
    living = [open_session(session.session_key).get("_auth_user_id") for session in sessions]
    assert living == [None] * (4 - limit) + ["7"] * limit
    assert call(count_sessions, "7") == limit


@pytest.mark.parametrize("driver", ["sync"])
def test_max_per_user__of_logins_at_the_same_time(log_in: Open, configure: Configure) -> None:
    configure(MAX_PER_USER=1)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: log_in(), range(16)))
    assert count_sessions("7") == 1


def test_clearsessions__trims_the_indexes(log_in: Open, call: Open, bystander: Any) -> None:
    ended, living = log_in(), log_in()
    bystander.delete(keyspace().name(ended.session_key))
    log_in("8").delete()
    bystander.sadd("session-of:8", "nonsense")
    call_command("clearsessions")
    assert bystander.scard("session-of:7") == 1
    assert not bystander.exists("session-of:8")
    assert call(sessions_for, "7")[0].is_session(living.session_key)


def test_clear_expired__returns_to_the_event_loop(log_in: Open, bystander: Any, runner: Any) -> None:
    bystander.delete(keyspace().name(log_in().session_key))
    runner.run(SessionStore.aclear_expired())
    assert not bystander.exists("session-of:7")


def stored_as_of(session: Any, bystander: Any, **changes: int) -> None:
    """Store the session as if it had been at other times."""
    space = keyspace()
    name = space.name(session.session_key)
    values = {**vars(space.open(name, bystander.get(name))), **changes}
    bystander.set(name, space.seal(name, SessionRecord(**values)))


def test_idle_timeout(configure: Configure, open_session: Open, session: Any, bystander: Any) -> None:
    configure(IDLE_TIMEOUT=600)
    session["a"] = 1
    session.save()
    assert 590_000 < bystander.pttl(keyspace().name(session.session_key)) <= 600_000
    stored_as_of(session, bystander, saved=now() - 599_000)
    assert open_session(session.session_key).get("a") == 1
    stored_as_of(session, bystander, saved=now() - 601_000)
    assert open_session(session.session_key).get("a") is None


def test_absolute_timeout__is_not_put_off_by_saving_or_a_new_id(
    configure: Configure, open_session: Open, session: Any, bystander: Any
) -> None:
    configure(ABSOLUTE_TIMEOUT=timedelta(hours=1))
    session["a"] = 1
    session.save()
    stored_as_of(session, bystander, created=now() - 3_000_000)
    again = open_session(session.session_key)
    again["b"] = 1
    again.save()
    again.cycle_key()
    again.save()
    assert 590_000 < bystander.pttl(keyspace().name(again.session_key)) <= 600_000
    stored_as_of(again, bystander, created=now() - 3_600_001)
    assert open_session(again.session_key).get("a") is None


def test_absolute_timeout__begins_at_the_login(
    log_in: Open, configure: Configure, open_session: Open, session: Any, bystander: Any
) -> None:
    configure(ABSOLUTE_TIMEOUT=3600)
    session.save()
    stored_as_of(session, bystander, created=now() - 3_000_000)
    session = log_in(session=open_session(session.session_key))
    assert bystander.pttl(keyspace().name(session.session_key)) > 3_500_000


def test_lifetime__ends_even_where_the_key_was_made_to_stay(session: Any, open_session: Open, bystander: Any) -> None:
    session.set_expiry(5)
    session.save()
    stored_as_of(session, bystander, saved=now() - 5001)
    assert open_session(session.session_key).load() == {}


def test_encrypted_index__still_tells(log_in: Open, configure: Configure, call: Open, bystander: Any) -> None:
    configure(INDEX=True, ENCRYPTION_KEYS=[os.urandom(32)])
    session = log_in(agent="Phone")
    assert [found.user_agent for found in call(sessions_for, "7")] == ["Phone"]
    assert b"Phone" not in bystander.get(keyspace().name(session.session_key))
