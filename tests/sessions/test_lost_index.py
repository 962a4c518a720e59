"""Indexes that have gone, as by eviction, or name too few: whose sessions they were is found out all the same."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_upstash.sessions import count_sessions, log_out_everywhere, searching, sessions_for, user_sessions
from django_upstash.sessions.session_keys import digest, keyspace
from tests.servers import Server
from tests.sessions.conftest import Open

pytestmark = pytest.mark.matrix

Configure = Callable[..., None]
Login = Callable[..., Any]


@pytest.fixture
def log_in(configure: Configure, open_session: Open) -> Login:
    """Return ``log_in(user)``, which stores a session of a user."""
    configure(INDEX=True)

    def log_in(user: str = "7") -> Any:
        session = open_session()
        session["_auth_user_id"] = user
        session.save()
        return session

    return log_in


def user_of(session: Any, open_session: Open) -> Any:
    return open_session(session.session_key).get("_auth_user_id")


def test_log_out_everywhere__without_an_index(log_in: Login, open_session: Open, call: Open, bystander: Any) -> None:
    stolen, other = log_in(), log_in("8")
    bystander.delete("session-of:7", "session-of:8")
    ended = call(log_out_everywhere, "7")
    assert (ended, ended.was_searched, ended.is_complete, ended.cursor) == (1, True, True, None)
    assert user_of(stolen, open_session) is None
    assert user_of(other, open_session) == "8"


def test_log_out_everywhere__of_somebody_without_sessions_has_looked(log_in: Login, call: Open) -> None:
    log_in("8")
    ended = call(log_out_everywhere, "7")
    assert (ended, ended.was_searched, ended.is_complete) == (0, True, True)


def test_log_out_everywhere__with_an_index_that_is_whole_looks_at_nothing_else(log_in: Login, call: Open) -> None:
    log_in()
    ended = call(log_out_everywhere, "7")
    assert (ended, ended.was_searched, ended.is_complete) == (1, False, True)


@pytest.mark.parametrize("merge", [False, True])
def test_save__notes_that_the_index_had_lost_the_session(
    log_in: Login, configure: Configure, open_session: Open, call: Open, bystander: Any, merge: bool
) -> None:
    """So the index that begins with one session again is not taken for a whole one."""
    configure(INDEX=True, MERGE=merge)
    stolen, here = log_in(), log_in()
    bystander.delete("session-of:7")
    again = open_session(here.session_key)
    again["a"] = 1
    again.save()
    assert bystander.smembers("session-of:7") == {digest(here.session_key).encode(), b"incomplete"}
    assert len(call(sessions_for, "7")) == 1

    ended = call(log_out_everywhere, "7", except_key=here.session_key)
    assert (ended, ended.was_searched) == (1, True)
    assert (user_of(stolen, open_session), user_of(here, open_session)) == (None, "7")
    assert bystander.smembers("session-of:7") == {digest(here.session_key).encode()}
    assert not call(log_out_everywhere, "7", except_key=here.session_key).was_searched


def test_log_out_everywhere__ends_what_was_there_before_the_index(
    log_in: Login, configure: Configure, open_session: Open, call: Open
) -> None:
    configure()
    before = log_in()
    configure(INDEX=True)
    assert call(log_out_everywhere, "7") == 1
    assert user_of(before, open_session) is None


def test_log_out_everywhere__goes_on_where_it_stopped(
    log_in: Login,
    open_session: Open,
    call: Open,
    bystander: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sessions = [log_in() for _ in range(3)]
    bystander.mset({f"filling:{number}": "x" for number in range(6000)})
    bystander.delete("session-of:7")
    pages: list[Any] = []
    with caplog.at_level(logging.WARNING, "django_upstash.sessions"):
        ended = call(log_out_everywhere, "7", most_keys=1000, progress=pages.append)
    assert (ended.was_searched, ended.is_complete, len(pages)) == (True, False, 1)
    assert "there are more" in caplog.text
    assert b"incomplete" in bystander.smembers("session-of:7")
    total = int(ended)
    while ended.cursor is not None:
        ended = call(log_out_everywhere, "7", most_keys=1000, cursor=ended.cursor)
        total += ended
    assert total == 3
    assert [user_of(session, open_session) for session in sessions] == [None] * 3
    assert not bystander.exists("session-of:7")


def test_search__passes_over_what_is_no_session(log_in: Login, call: Open, bystander: Any) -> None:
    session = log_in()
    bystander.delete("session-of:7")
    name = keyspace().name(session.session_key)
    copied, wrong_type = f"session:{'a' * 64}", f"session:{'b' * 64}"
    bystander.set(copied, bystander.get(name))
    bystander.lpush(wrong_type, "x")
    for junk in (b"session:\xff", b"session:short", b"session-of:\xff", b"\xff"):
        bystander.set(junk, "x")
    assert call(log_out_everywhere, "7") == 1
    assert bystander.exists(copied, wrong_type, b"session:\xff") == 3
    assert call(count_sessions) == 2


@pytest.mark.parametrize("limit", [1, 2])
def test_max_per_user__without_an_index(
    log_in: Login, configure: Configure, open_session: Open, bystander: Any, limit: int
) -> None:
    """A save of a session that is alive tells that the index had gone, and the next login counts all there are."""
    configure(MAX_PER_USER=3)
    first, second = log_in(), log_in()
    bystander.delete("session-of:7")
    configure(MAX_PER_USER=limit)
    again = open_session(second.session_key)
    again["a"] = 1
    again.save()
    newest = log_in()
    users = [user_of(session, open_session) for session in (first, second, newest)]
    assert users.count("7") == limit
    assert bystander.scard("session-of:7") == limit


def test_max_per_user__says_where_it_has_not_looked_at_all_keys(
    log_in: Login,
    configure: Configure,
    bystander: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    configure(MAX_PER_USER=1)
    log_in()
    bystander.mset({f"filling:{number}": "x" for number in range(6000)})
    bystander.sadd("session-of:7", "incomplete")
    monkeypatch.setattr(user_sessions, "MOST_KEYS_AT_LOGIN", 1000)
    with caplog.at_level(logging.WARNING, "django_upstash.sessions"):
        log_in()
    assert "MAX_PER_USER holds of the sessions that were found" in caplog.text
    assert b"incomplete" in bystander.smembers("session-of:7")


def test_clear_expired__passes_over_keys_that_are_no_index(log_in: Login, bystander: Any, runner: Any) -> None:
    from django_upstash.sessions import SessionStore

    ended = log_in()
    bystander.delete(keyspace().name(ended.session_key))
    bystander.sadd("session-of:7", b"\xff", "nonsense", "incomplete")
    bystander.sadd(b"session-of:\xff", "x")
    bystander.set("session-of:text", "x")
    SessionStore.clear_expired()
    runner.run(SessionStore.aclear_expired())
    assert not bystander.exists("session-of:7")
    assert bystander.exists(b"session-of:\xff", "session-of:text") == 2


@pytest.fixture
def evicting(valkey: Server) -> Iterator[None]:
    """Let the server have a policy by which it may have evicted any index, and does not tell which."""
    valkey.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    yield
    valkey.call("CONFIG", "SET", "maxmemory-policy", "noeviction")


on_valkey = pytest.mark.parametrize("route", ["native", "rest"])


@on_valkey
@pytest.mark.usefixtures("evicting")
def test_log_out_everywhere__of_a_server_that_evicts_looks_at_all_sessions(
    log_in: Login, open_session: Open, call: Open, bystander: Any
) -> None:
    stolen = log_in()
    bystander.delete("session-of:7")
    here = log_in()  # which begins the index again
    ended = call(log_out_everywhere, "7", except_key=here.session_key)
    assert (ended, ended.was_searched) == (1, True)
    assert user_of(stolen, open_session) is None


@on_valkey
def test_log_out_everywhere__of_a_server_that_does_not_tell_looks_at_all_sessions(
    log_in: Login, call: Open, valkey: Server
) -> None:
    log_in()
    valkey.call("ACL", "SETUSER", "default", "-info")
    try:
        assert call(log_out_everywhere, "7").was_searched
    finally:
        valkey.call("ACL", "SETUSER", "default", "+@all")


@on_valkey
@pytest.mark.usefixtures("evicting")
def test_max_per_user__of_a_server_that_evicts_looks_for_others_at_a_first_login(
    log_in: Login, configure: Configure, open_session: Open, bystander: Any
) -> None:
    configure(MAX_PER_USER=1)
    older = log_in()
    bystander.delete("session-of:7")
    newer = log_in()
    assert [user_of(session, open_session) for session in (older, newer)].count("7") == 1


def test_owner__of_data_that_cannot_be_read_is_nobody() -> None:
    from django_upstash.sessions.bodies import SessionRecord

    assert searching.owner_of(SessionRecord(payload=b"\xff")) == ""
    assert searching.owner_of(SessionRecord(payload=b"[]")) == ""
