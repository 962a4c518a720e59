"""A crowd of clients with one key, by real HTTP, over both routes."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.core.servers.basehttp import ThreadedWSGIServer
from django.test.testcases import QuietWSGIRequestHandler

from tests.idempotency.site import executed

pytestmark = pytest.mark.matrix

CLIENTS = 64
Configure = Callable[..., None]


class Answer(NamedTuple):
    status: int
    replayed: str | None
    retry_after: str | None
    cookies: str | None
    body: bytes


class SiteServer(ThreadedWSGIServer):
    request_queue_size = 4 * CLIENTS  # of Django's ten, a crowd of clients overflows


@pytest.fixture
def port(behind_middleware: Configure) -> Iterator[int]:
    """The port of the site over HTTP."""
    with SiteServer(("127.0.0.1", 0), QuietWSGIRequestHandler) as server:
        server.set_app(WSGIHandler())
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def send(port: int, path: str, body: object, **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        given = {"Content-Type": "application/json", "Idempotency-Key": '"one"', "X-User": "ann", **headers}
        connection.request("POST", path, json.dumps(body), given)
        response = connection.getresponse()
        found = response.headers.get
        seen = found("Idempotent-Replayed"), found("Retry-After"), found("Set-Cookie")
        return Answer(response.status, *seen, response.read())
    finally:
        connection.close()


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("path", ["/plain/", "/orders/", "/api/orders/"])
def test_crowd__executes_once(port: int, path: str) -> None:
    barrier = threading.Barrier(CLIENTS)

    def order(number: int) -> Answer:
        barrier.wait()
        return send(port, path, {"amount": 1, "sleep": 0.1}, **{"X-Token-Of": "ann"})

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(order, range(CLIENTS)))

    assert executed == [path]
    owners = [answer for answer in answers if answer.status == 201 and answer.replayed is None]
    assert len(owners) == 1
    replays = [answer for answer in answers if answer.replayed == "true"]
    refused = [answer for answer in answers if answer.status == 409]
    assert len(replays) + len(refused) == CLIENTS - 1
    assert {(answer.status, answer.body, answer.cookies) for answer in replays} <= {(201, owners[0].body, None)}
    assert {answer.retry_after for answer in refused} <= {"1"}
    assert owners[0].cookies is not None

    with ThreadPoolExecutor(CLIENTS) as pool:
        later = list(
            pool.map(lambda _: send(port, path, {"amount": 1, "sleep": 0.1}, **{"X-Token-Of": "ann"}), answers)
        )
    assert Counter(later) == {Answer(201, "true", None, None, owners[0].body): CLIENTS}
    assert send(port, path, {"amount": 2}, **{"X-Token-Of": "ann"}).status == 422
    assert executed == [path]


def test_crowd__of_users_with_one_key_each_get_their_own(port: int) -> None:
    users = [f"user {number % 8}" for number in range(CLIENTS)]

    def order(user: str) -> Answer:
        while (answer := send(port, "/plain/", {}, **{"X-User": user})).status == 409:
            time.sleep(0.02)
        return answer

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(order, users))
    received = {(user, answer.body) for user, answer in zip(users, answers, strict=True)}
    assert len(received) == len({body for _, body in received}) == len(executed) == 8
