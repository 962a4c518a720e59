"""What keys cost: round trips and billed commands, counted by the servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_upstash.connections import connections
from django_upstash.exceptions import ReservationLostError
from django_upstash.idempotency import IdempotencyStore, State
from tests.idempotency.conftest import OpenStore, post
from tests.servers import Server, ServerMissing, start_redis

pytestmark = pytest.mark.matrix

Counting = Callable[[], Any]


def costs(cost: dict[str, int]) -> tuple[int, int]:
    return cost["requests"], cost["commands"]


def test_store__budget(open_store: OpenStore, counting: Counting, route: str) -> None:
    store = open_store()
    store.release(store.begin("first use of the connection"))
    with counting() as cost:
        owner = store.begin("k", {"amount": 1})
    assert costs(cost) == (1, 1)
    with counting() as cost:
        store.complete(owner, "result")
    assert costs(cost) == (1, 1)
    with counting() as cost:
        assert store.begin("k", {"amount": 1}).value == "result"
    assert costs(cost) == (2, 3)  # once per connection: whether SET NX GET says what is stored
    # Upstash documents that it does not; Redis and Valkey do.
    says = route == "native"
    assert (connections[route].capabilities.proven == {"SET NX GET"}) is says
    assert connections[route].capabilities.has("SET NX GET") is says
    for payload, state in (({"amount": 1}, State.DUPLICATE), ({"amount": 2}, State.CONFLICT)):
        with counting() as cost:
            assert store.begin("k", payload).state is state
        assert costs(cost) == ((1, 1) if says else (2, 2))
    with counting() as cost:
        other = store.begin("other")
    assert costs(cost) == (1, 1)
    with counting() as cost:
        store.renew(other)
    assert costs(cost) == (1, 1)
    with counting() as cost:
        assert store.release(other) is True
    assert costs(cost) == (1, 1)


@pytest.mark.parametrize("path", ["/orders/", "/async-orders/", "/api/orders/"])
def test_view__budget(site: Callable[..., None], counting: Counting, route: str, path: str) -> None:
    post(path, key='"other"', X_Token_Of="ann")
    post(path, key='"other"', X_Token_Of="ann")
    with counting() as cost:
        post(path, X_Token_Of="ann")
    assert costs(cost) == (2, 2)
    with counting() as cost:
        assert post(path, X_Token_Of="ann").headers["Idempotent-Replayed"] == "true"
    assert costs(cost) == ((1, 1) if route == "native" else (2, 2))
    with counting() as cost:
        post(path, key=None, X_Token_Of="ann")
        post(path, key="malformed", X_Token_Of="ann")
    assert costs(cost) == (0, 0)


@pytest.fixture(scope="module")
def old_server() -> Iterator[Server]:
    """A Redis 7.0, whose SET has no IFEQ, and which deletes where equal by script."""
    try:
        with start_redis() as server:
            yield server
    except ServerMissing as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("route", ["native"])
def test_old_server__compares_by_script(open_store: OpenStore, old_server: Server, settings: Any, route: str) -> None:
    old_server.call("FLUSHALL")
    settings.UPSTASH = {route: {"URL": old_server.url}}
    store: Any = open_store()
    assert isinstance(getattr(store, "store", store), IdempotencyStore)
    store.complete(store.begin("warm"))
    store.release(store.begin("warm too"))
    with old_server.counting() as counted:
        owner = store.begin("k")
    assert counted.by_command == {"set": 1}
    with old_server.counting() as counted:
        store.complete(owner, 1)
    assert counted.by_command == {"evalsha": 1, "get": 1, "set": 1}
    assert store.begin("k").value == 1
    with old_server.counting() as counted:
        assert store.begin("k").value == 1
    assert counted.by_command == {"set": 1}
    other = store.begin("other")
    with old_server.counting() as counted:
        assert store.release(other) is True
    assert counted.by_command == {"evalsha": 1, "get": 1, "del": 1}
    with pytest.raises(ReservationLostError):
        store.complete(other)
