"""Logins of which a step fails: the visitor's data stay, and no session is left that nobody has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from django_upstash.connections import connections
from django_upstash.dev_server import LocalServer
from django_upstash.exceptions import NoPermissionError, OutOfMemoryError, UpstashError
from tests.fault_proxy import REPLY, REQUEST, Direction, FaultProxy
from tests.outages import find_back
from tests.servers import Server
from tests.sessions.conftest import Open

pytestmark = pytest.mark.matrix

Configure = Callable[..., None]


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[0, 1])
def proxy(
    request: pytest.FixtureRequest,
    route: str,
    valkey: Server,
    local_server: LocalServer,
    upstash: dict[str, dict[str, Any]],
    settings: Any,
) -> Iterator[FaultProxy]:
    """The wire to the server of the route, which can be cut; the connection repeats, or does not."""
    rest_port = urlsplit(local_server.url).port or 0
    with FaultProxy(valkey.socket_path if route == "native" else rest_port) as proxy:
        url = proxy.url if route == "native" else f"http://{proxy.host}:{proxy.port}"
        entry = {**upstash[route], "URL": url, "TIMEOUT": 20, "RETRIES": request.param}
        settings.UPSTASH = {**upstash, route: entry}
        yield proxy


@pytest.fixture
def visitor(configure: Configure, open_session: Open) -> Any:
    """A stored session with a cart, of nobody yet, as a request has read it."""
    configure(INDEX=True)
    session = open_session()
    session["cart"] = [1]
    session.save()
    again = open_session(session.session_key)
    assert again["cart"] == [1]
    return again


def begin_login(session: Any) -> str:
    before = str(session.session_key)
    session.cycle_key()
    session["_auth_user_id"] = "7"
    return before


def assert_nothing_is_lost(before: str, open_session: Open, valkey: Server) -> None:
    """The visitor's session is as it was, and the only one; nobody is logged in."""
    assert dict(open_session(before).items()) == {"cart": [1]}
    assert valkey.call("DBSIZE") == 1


def test_login__of_a_full_server(visitor: Any, open_session: Open, valkey: Server) -> None:
    before = begin_login(visitor)
    valkey.call("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(OutOfMemoryError):
            visitor.save()
        assert_nothing_is_lost(before, open_session, valkey)
    finally:
        valkey.call("CONFIG", "SET", "maxmemory", "0")
    visitor.save()  # tried again, it succeeds
    assert dict(open_session(visitor.session_key).items()) == {"cart": [1], "_auth_user_id": "7"}
    assert open_session(before).get("cart") is None


@pytest.mark.parametrize("logged_in", [False, True])
def test_new_id__where_the_old_session_cannot_be_removed(
    visitor: Any, open_session: Open, valkey: Server, logged_in: bool
) -> None:
    if logged_in:
        visitor["_auth_user_id"] = "7"
        visitor.save()
    before, stored = str(visitor.session_key), valkey.call("DBSIZE")
    visitor.cycle_key()
    valkey.call("ACL", "SETUSER", "default", "-del")
    try:
        with pytest.raises(NoPermissionError):
            visitor.save()
    finally:
        valkey.call("ACL", "SETUSER", "default", "+@all")
    assert open_session(before)["cart"] == [1]
    assert valkey.call("DBSIZE") == stored


@pytest.mark.parametrize("command", [b"SET", b"DEL"])
@pytest.mark.parametrize("direction", [REQUEST, REPLY])
def test_login__whose_connection_is_cut(
    visitor: Any,
    open_session: Open,
    valkey: Server,
    proxy: FaultProxy,
    configure: Configure,
    command: bytes,
    direction: Direction,
) -> None:
    session = open_session(visitor.session_key)
    assert session["cart"] == [1]
    before = begin_login(session)
    proxy.close_at(command, direction)
    try:
        session.save()
    except UpstashError:
        heal(proxy)
        assert_nothing_is_lost(before, open_session, valkey)
        session.save()
    assert dict(open_session(session.session_key).items()) == {"cart": [1], "_auth_user_id": "7"}
    assert open_session(before).get("cart") is None
    assert valkey.call("DBSIZE") == 2
    assert valkey.call("SCARD", "session-of:7") == 1


@pytest.mark.parametrize("direction", [REQUEST, REPLY])
def test_new_id__of_a_user_whose_connection_is_cut_never_counts_beside_the_old(
    visitor: Any, open_session: Open, valkey: Server, proxy: FaultProxy, direction: Direction
) -> None:
    visitor["_auth_user_id"] = "7"
    visitor.save()
    session = open_session(visitor.session_key)
    assert session["cart"] == [1]
    before = str(session.session_key)
    session.cycle_key()
    proxy.close_at(b"DEL", direction)
    ended = False
    try:
        session.save()
    except Exception:
        ended = True
    heal(proxy)
    users = [open_session(key).get("_auth_user_id") for key in (before, session.session_key)]
    assert users.count("7") == (1 if direction is REQUEST or not ended else 0)


@pytest.mark.parametrize("steps", [1, 2])
def test_logout__whose_connection_is_cut_raises_or_has_counted(
    visitor: Any, open_session: Open, valkey: Server, proxy: FaultProxy, steps: int
) -> None:
    session = open_session(visitor.session_key)
    assert session["cart"] == [1]
    key = str(session.session_key)
    proxy.close_at(b"DEL", REQUEST if steps == 1 else REPLY)
    with pytest.raises(UpstashError):
        session.flush()
    heal(proxy)
    session = open_session(key)
    assert session.get("cart") == ([1] if steps == 1 else None)
    session.flush()
    assert open_session(key).get("cart") is None


def heal(proxy: FaultProxy) -> None:
    proxy.heal()
    for connection in connections.opened():
        find_back(connection)
