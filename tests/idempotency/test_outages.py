"""While Redis is away: refused or unprotected, as the settings say, and what was begun ends well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_upstash.connections import connections
from django_upstash.idempotency import IdempotencyStore, State
from tests.fault_proxy import FaultProxy
from tests.idempotency import site as pages
from tests.idempotency.conftest import post, problem
from tests.idempotency.site import executed
from tests.servers import Server, start_valkey

pytestmark = pytest.mark.matrix

Configure = Callable[..., None]


@pytest.fixture(params=["native"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(site: Configure, settings: Any) -> Iterator[Server]:
    """A server of the test's own, which it may stop."""
    with start_valkey() as server:
        settings.UPSTASH = {"native": {"URL": server.url, "RETRIES": 0}}
        yield server


PATHS = ["/orders/", "/async-orders/", "/class-orders/"]


@pytest.mark.parametrize("path", PATHS)
def test_closed__refuses_with_retry_after(server: Server, path: str, caplog: pytest.LogCaptureFixture) -> None:
    server.stop()
    connections["native"].availability.pause = 60
    for _ in range(2):
        reply = post(path)
        assert problem(reply) == (503, "idempotency_unavailable")
        assert reply.headers["Retry-After"] == "1"
    assert executed == []
    assert connections["native"].meter.requests == 1  # then it is left alone for a moment
    assert caplog.text.count("could not be looked up, and fails closed") == 2
    assert post(path, key=None).status_code == 201  # which needs no Redis
    server.start()


@pytest.mark.parametrize("path", PATHS)
def test_open__executes_unprotected(server: Server, site: Configure, path: str) -> None:
    site(ON_FAILURE="open")
    server.stop()
    assert [post(path).status_code, post(path).status_code, executed] == [201, 201, [path, path]]
    server.start()


def test_open__of_one_view(server: Server) -> None:
    server.stop()
    assert post("/open-orders/").status_code == 201
    assert problem(post("/orders/")) == (503, "idempotency_unavailable")
    server.start()


@pytest.mark.parametrize("body", [{}, {"status": 500}], ids=["completed", "given back"])
@pytest.mark.parametrize("path", ["/orders/", "/async-orders/"])
def test_away_in_between__the_response_is_sent_all_the_same(
    server: Server, path: str, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    execute = pages.execute

    def stopping(request: Any) -> Any:
        server.stop()
        return execute(request)

    monkeypatch.setattr(pages, "execute", stopping)
    assert post(path, body).status_code == body.get("status", 201)
    assert f"The idempotency key of a request to {path} could not be" in caplog.text
    server.start()


def test_without_redis__fails_as_the_settings_say(site: Configure, settings: Any) -> None:
    settings.UPSTASH = {}
    assert problem(post("/orders/")) == (503, "idempotency_unavailable")
    site(ON_FAILURE="open")
    assert post("/orders/").status_code == 201


def test_late_finisher__does_not_overwrite(
    site: Configure, valkey: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    execute = pages.execute
    inner: list[Any] = []

    def expiring(request: Any) -> Any:
        response = execute(request)
        if not inner:
            (name,) = valkey.call("KEYS", "*")
            valkey.call("DEL", name)  # as its time to live would
            inner.append(None)
            inner[0] = post("/orders/").content
        return response

    monkeypatch.setattr(pages, "execute", expiring)
    late = post("/orders/").content
    assert "could not be completed: The reservation of this idempotency key has expired" in caplog.text
    assert post("/orders/").content == inner[0] != late
    assert len(executed) == 2


def test_lost_replies__are_no_strangers(site: Configure, valkey: Server, settings: Any) -> None:
    with FaultProxy(valkey.port) as proxy:
        settings.UPSTASH = {"native": {"URL": proxy.url}}
        store = IdempotencyStore()
        warm = store.begin("warm")
        store.complete(warm)
        for learning in (True, False):  # before the process knows that SET NX GET tells, and after
            proxy.close_before_reply()
            owner = store.begin(f"k {learning}")
            assert owner.state is State.NEW
            proxy.close_before_reply()
            store.renew(owner)
            proxy.close_before_reply()
            store.complete(owner, "result")
            assert store.begin(f"k {learning}").value == "result"
            proxy.close_before_reply()
            store.release(store.begin(f"other {learning}"))
            assert valkey.call("EXISTS", f"idempotency:default:other%20{learning}") == 0
            assert store.begin("warm").state is State.DUPLICATE
