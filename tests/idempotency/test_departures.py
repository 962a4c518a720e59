"""A client that goes away under ASGI: what it asked for is done to its end, once, and kept for when it asks again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.asgi import get_asgi_application
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.template.response import SimpleTemplateResponse
from django.test import AsyncRequestFactory
from django.test.client import encode_multipart
from django.urls import path

from django_upstash.idempotency import idempotent
from tests.idempotency.conftest import MIDDLEWARE, problem
from tests.servers import Server

Configure = Callable[..., None]
PATHS = ["/decorated/", "/plain/", "/threaded/"]
BODY = encode_multipart("x", {"amount": "1", "scan": SimpleUploadedFile("scan.png", b"s" * 3_000_000)})
noted: ContextVar[str] = ContextVar("noted", default="")
native = pytest.mark.parametrize("route", ["native"])


class Till:
    """A view that waits to be let go, and then reads what it was sent."""

    def __init__(self) -> None:
        self.begun, self.going, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.charges: list[str] = []
        self.fails = False

    async def pay(self, request: Any) -> HttpResponse:
        self.begun.set()
        while not self.going.is_set():
            await asyncio.sleep(0.01)
        noted.set("by the view")
        return await sync_to_async(self._paid)(request)

    def pay_in_thread(self, request: Any) -> HttpResponse:
        self.begun.set()
        self.going.wait(60)
        return self._paid(request)

    def _paid(self, request: Any) -> HttpResponse:
        self.charges.append(request.POST["amount"])
        self.ended.set()
        if self.fails:
            raise RuntimeError("as asked")
        return HttpResponse(f"paid {request.POST['amount']}", status=201)


till = Till()


@idempotent
async def decorated(request: HttpRequest) -> HttpResponse:
    return await till.pay(request)


async def plain(request: HttpRequest) -> HttpResponse:
    return await till.pay(request)


def threaded(request: HttpRequest) -> HttpResponse:
    return till.pay_in_thread(request)


@idempotent
async def templated(request: HttpRequest) -> SimpleTemplateResponse:
    await till.pay(request)
    return SimpleTemplateResponse(engines["django"].from_string("paid by template"))


urlpatterns = [
    path("decorated/", decorated),
    path("plain/", plain),
    path("threaded/", threaded),
    path("templated/", templated),
]


@pytest.fixture
def shop(settings: Any, configure: Configure, monkeypatch: pytest.MonkeyPatch) -> Till:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = [MIDDLEWARE]
    settings.ALLOWED_HOSTS = ["*"]
    monkeypatch.setattr(f"{__name__}.till", Till())
    return till


async def send(path: str, leaving: asyncio.Event | None = None) -> tuple[int, dict[str, str], bytes]:
    """Send a request to Django's ASGI application; with ``leaving``, disconnect when that is set."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": [
            (b"content-type", b"multipart/form-data; boundary=x"),
            (b"content-length", str(len(BODY)).encode()),
            (b"idempotency-key", b'"k"'),
        ],
        "query_string": b"",
    }
    sent: list[Any] = []
    arriving = _arriving(leaving)

    async def receive() -> Any:
        return await anext(arriving)

    async def keep(message: Any) -> None:
        sent.append(message)

    await get_asgi_application()(scope, receive, keep)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]} if sent else {}
    return sent[0]["status"] if sent else 0, headers, b"".join(message.get("body", b"") for message in sent[1:])


async def _arriving(leaving: asyncio.Event | None) -> AsyncIterator[Any]:
    yield {"type": "http.request", "body": BODY, "more_body": False}
    await (leaving or asyncio.Event()).wait()
    yield {"type": "http.disconnect"}


async def leave(path: str) -> None:
    """Send a request, and disconnect once its view has begun."""
    leaving = asyncio.Event()
    request = asyncio.create_task(send(path, leaving))
    await asyncio.to_thread(till.begun.wait, 60)
    leaving.set()
    if path == "/threaded/":
        await asyncio.sleep(0)  # Django waits for its thread before it lets the connection go
    else:
        assert (await request)[0] == 0
    left.append(request)


left: list[Any] = []


async def replayed(path: str) -> tuple[int, dict[str, str], bytes]:
    """Ask again until there is a response that is not the one of somebody who came too early."""
    while True:
        found = await send(path)
        if found[0] != 409:
            return found
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("path", [*PATHS, "/templated/"])
def test_view__runs_to_its_end_and_its_response_is_kept(shop: Till, path: str) -> None:
    async def pay() -> Any:
        await leave(path)
        early = await send(path)
        till.going.set()
        return early, await replayed(path)

    early, again = asyncio.run(pay())
    assert (early[0], b"idempotency_key_in_progress" in early[2], b"outcome is unknown" in early[2]) == (
        409,
        True,
        True,
    )
    assert (again[0], again[1]["Idempotent-Replayed"]) == (200 if path == "/templated/" else 201, "true")
    assert again[2] == (b"paid by template" if path == "/templated/" else b"paid 1")
    assert till.charges == ["1"]


@native
@pytest.mark.parametrize("path", PATHS[:2])
def test_error__of_a_view_whose_client_has_gone(shop: Till, path: str, caplog: pytest.LogCaptureFixture) -> None:
    async def pay() -> Any:
        till.fails = True
        await leave(path)
        till.going.set()
        await asyncio.to_thread(till.ended.wait, 60)
        till.fails = False
        return await replayed(path)

    assert asyncio.run(pay())[0] == 201
    assert till.charges == ["1", "1"]  # an error gives the key back, as ever
    assert "as asked" in caplog.text


@native
@pytest.mark.parametrize("path", PATHS[:2])
def test_process__that_ends_first_leaves_the_key_taken(shop: Till, path: str, valkey: Server) -> None:
    asyncio.run(leave(path))  # which cancels what is running still
    status, _, body = asyncio.run(send(path))
    assert (status, b"idempotency_outcome_unknown" in body) == (409, True)
    (name,) = valkey.call("KEYS", "*")
    assert 0 < valkey.call("PTTL", name) <= 60_000
    assert till.charges == []
    till.going.set()


@native
def test_view__sets_context_variables_for_its_caller(shop: Till) -> None:
    async def pay() -> str:
        till.going.set()
        await decorated(AsyncRequestFactory().post("/", {"amount": "1"}, headers={"Idempotency-Key": '"k"'}))
        return noted.get()

    assert asyncio.run(pay()) == "by the view"


@native
def test_view__without_a_key_is_cancelled_as_ever(shop: Till) -> None:
    async def pay() -> None:
        paying = asyncio.create_task(decorated(AsyncRequestFactory().post("/", {"amount": "1"})))
        await asyncio.to_thread(till.begun.wait, 60)
        paying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await paying
        till.going.set()

    asyncio.run(pay())
    assert till.charges == []


@native
def test_in_progress__is_a_problem_that_says_so(shop: Till) -> None:
    async def pay() -> Any:
        request = {"data": {"amount": "1"}, "headers": {"Idempotency-Key": '"k"'}}
        paying = asyncio.create_task(decorated(AsyncRequestFactory().post("/", **request)))  # type: ignore[arg-type]
        await asyncio.to_thread(till.begun.wait, 60)
        paying.cancel()
        second = await decorated(AsyncRequestFactory().post("/", **request))  # type: ignore[arg-type]
        till.going.set()
        return second

    assert problem(asyncio.run(pay())) == (409, "idempotency_key_in_progress")
