"""Views under ``@idempotent`` and under the middleware: executed once, replayed byte by byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http.request import RawPostDataException
from django.test import AsyncClient, Client, RequestFactory
from django.test.client import encode_multipart
from django.views import View
from rest_framework.views import APIView

from django_upstash.idempotency import Protection, idempotent
from django_upstash.idempotency.requests import principal
from tests.idempotency.conftest import MIDDLEWARE, post, problem
from tests.idempotency.site import User, execute, executed, plain
from tests.servers import Server

pytestmark = pytest.mark.matrix

DECORATED = ["/orders/", "/async-orders/", "/class-orders/", "/async-class-orders/", "/method-orders/"]
PLAIN = ["/plain/", "/async-plain/"]
Configure = Callable[..., None]


@pytest.fixture
def protected(site: Configure, settings: Any, path: str) -> Configure:
    """The site as it takes to protect the path; returns ``configure``."""
    if path in PLAIN:
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, MIDDLEWARE]
    return site


paths = pytest.mark.parametrize("path", [*DECORATED, *PLAIN])
one_path = pytest.mark.parametrize("path", ["/orders/", "/plain/"])
native = pytest.mark.parametrize("route", ["native"])


@paths
def test_replay__is_byte_identical_but_for_cookies(protected: Configure, path: str) -> None:
    first = post(path, {"amount": 1})
    again = post(path, {"amount": 1})
    assert (first.status_code, again.status_code, executed) == (201, 201, [path])
    assert again.content == first.content
    assert again.reason_phrase == first.reason_phrase
    assert dict(again.headers) == {**first.headers, "Idempotent-Replayed": "true"}
    assert (set(first.cookies), set(again.cookies)) == ({"visitor"}, set())
    assert "Idempotent-Replayed" not in first.headers


@paths
def test_replay__under_asgi(protected: Configure, path: str) -> None:
    async def twice() -> list[Any]:
        client = AsyncClient()
        sent: dict[str, Any] = {"data": b'{"amount": 1}', "content_type": "application/json"}
        return [await client.post(path, **sent, headers={"Idempotency-Key": '"k"'}) for _ in range(2)]

    first, again = asyncio.run(twice())
    assert (first.status_code, again.headers["Idempotent-Replayed"], executed) == (201, "true", [path])
    assert again.content == first.content


@paths
def test_payload__changed_is_refused(protected: Configure, path: str) -> None:
    post(path, {"amount": 1})
    assert problem(post(path, {"amount": 2})) == (422, "idempotency_key_reused")
    assert problem(post(f"{path}?dry=1", {"amount": 1})) == (422, "idempotency_key_reused")
    assert executed == [path]


@one_path
@native
def test_payload__of_a_form_with_files_is_its_content(protected: Configure, path: str) -> None:
    def send(content: bytes, boundary: str) -> int:
        data = encode_multipart(boundary, {"a": "1", "file": SimpleUploadedFile("order.csv", content)})
        kind = f"multipart/form-data; boundary={boundary}"
        return Client().post(path, data, content_type=kind, headers={"Idempotency-Key": '"k"'}).status_code

    assert [send(b"x", "one"), send(b"x", "two"), send(b"y", "one")] == [201, 201, 422]
    assert executed == [path]


@native
@one_path
def test_payload__of_a_form_that_is_no_post(protected: Configure, path: str) -> None:
    def send(content: bytes, boundary: str) -> int:
        data = encode_multipart(boundary, {"a": "1", "file": SimpleUploadedFile("order.csv", content)})
        kind = f"multipart/form-data; boundary={boundary}"
        return Client().patch(path, data, content_type=kind, headers={"Idempotency-Key": '"k"'}).status_code

    assert [send(b"x", "one"), send(b"x", "two"), send(b"y", "one")] == [201, 201, 422]
    assert executed == [path]


def test_principal__of_users_without_a_primary_key() -> None:
    def who(name: str, token: str) -> str:
        request = RequestFactory().post("/", headers={"Authorization": token})
        user = User(None)
        user.__class__ = type("Named", (User,), {"__str__": lambda self: name})
        return principal(request, user)

    assert who("ann", "1") == who("ann", "1")
    assert len({who("ann", "1"), who("ann", "2"), who("bob", "1")}) == 3


@paths
def test_keys__are_of_one_user_host_path_and_method(protected: Configure, path: str) -> None:
    senders: list[dict[str, str]] = [
        {"X_User": "ann"},
        {"X_User": "bob"},
        {},
        {"Authorization": "Bearer one"},
        {"Authorization": "Bearer two"},
        {"X_Api_Key": "one"},
        {"Cookie": "sessionid=one"},
        {"X_User": "ann", "Host": "other.example"},
    ]
    contents = [post(path, **sender).content for sender in senders]
    assert len(set(contents)) == len(executed) == len(senders)
    assert [post(path, **sender).content for sender in senders] == contents
    assert len(executed) == len(senders)
    # Somebody who is logged in is the same with new credentials.
    assert post(path, X_User="ann", Authorization="Bearer new").content == contents[0]


@one_path
@native
def test_key__that_is_malformed(protected: Configure, path: str) -> None:
    for key in ("key-1", '""', '"' + "x" * 256 + '"', '"a", "b"', '"é"'):
        assert problem(post(path, key=key)) == (400, "idempotency_key_malformed")
    assert executed == []
    protected(BARE_KEYS=True)
    assert [post(path, key="key-1").status_code, post(path, key='"key-1"').content] == [201, post(path).content]
    assert executed == [path]


@native
def test_key__that_is_required(site: Configure, settings: Any) -> None:
    assert problem(post("/needing-key/", key=None)) == (400, "idempotency_key_missing")
    assert post("/orders/", key=None).status_code == 201
    site(REQUIRED=True)
    assert problem(post("/orders/", key=None)) == (400, "idempotency_key_missing")
    assert executed == ["/orders/"]


@one_path
@native
def test_methods__others_are_let_through(protected: Configure, path: str, valkey: Server) -> None:
    for method in ("get", "put", "delete", "head", "options"):
        getattr(Client(), method)(path, headers={"Idempotency-Key": "not even a string"})
    assert valkey.call("DBSIZE") == 0
    executed.clear()
    protected(METHODS=["put"])
    for _ in range(2):
        Client().put(path, headers={"Idempotency-Key": '"k"'})
    assert executed == [path]
    view = idempotent(methods=["delete"])(plain)
    for _ in range(2):
        view(RequestFactory().delete(path, headers={"Idempotency-Key": '"k"'}))
    assert len(executed) == 2


@paths
def test_errors__give_the_key_back(protected: Configure, path: str) -> None:
    for body in ({"status": 503}, {"raise": True}, {"status": 401}, {"status": 403}, {"status": 429}):
        executed.clear()
        post(path, body)
        again = post(path, body)
        assert "Idempotent-Replayed" not in again.headers
        assert len(executed) == 2
    executed.clear()
    assert [post(path, {"status": 400}).status_code, post(path, {"status": 400}).status_code] == [400, 400]
    assert executed == [path]


@one_path
@native
@pytest.mark.parametrize(("store", "highest"), [("success", 302), ("client_errors", 409), ("all", 503)])
def test_store__up_to_which_status(protected: Configure, path: str, store: str, highest: int) -> None:
    protected(STORE=store)
    for status in (200, 302, 409, 503):
        replies = [post(path, {"status": status}, key=f'"{status}"') for _ in range(2)]
        assert ("Idempotent-Replayed" in replies[1].headers) is (status <= highest)


@paths
def test_response__that_is_not_kept_is_not_made_twice(
    protected: Configure, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    protected(MAX_RESPONSE_SIZE=100)
    for key, body in (('"stream"', {"stream": True}), ('"large"', {"large": 51})):
        first = post(path, body, key=key)
        assert (b"".join(first) if first.streaming else first.content)[:3] in (b"one", b"\xff\x00\xff")
        again = post(path, body, key=key)
        assert problem(again) == (409, "idempotency_response_not_kept")
        assert "Retry-After" not in again.headers
    assert len(executed) == 2
    assert caplog.text.count("is streamed, or too large to be kept") == 2
    assert post(path, {"large": 50}, key='"fits"').content == post(path, {"large": 50}, key='"fits"').content


@pytest.mark.parametrize("path", ["/orders/", "/async-orders/", "/plain/"])
def test_template_response__is_stored_when_rendered(protected: Configure, path: str) -> None:
    first, again = (post(path, {"template": True}) for _ in range(2))
    assert (first.content[:6], again.content, executed) == (b"order ", first.content, [path])
    assert again.headers["Idempotent-Replayed"] == "true"


@one_path
def test_stored_response__that_was_tampered_with_is_not_sent(
    protected: Configure, path: str, valkey: Server, caplog: pytest.LogCaptureFixture
) -> None:
    post(path, X_User="ann")
    bobs = post(path, X_User="bob").content
    ann, bob = valkey.call("KEYS", "*")
    valkey.call("COPY", ann, bob, "REPLACE")
    assert post(path, X_User="bob").content not in (bobs, post(path, X_User="ann").content)
    assert len(executed) == 3
    assert "is not signed with this site's SECRET_KEY" in caplog.text


@pytest.mark.parametrize("keys", [None, ["ab" * 32]], ids=["signed", "encrypted"])
@native
def test_database__knows_no_key_and_encrypted_no_response(site: Configure, valkey: Server, keys: Any) -> None:
    site(ENCRYPTION_KEYS=keys)
    post("/orders/", key='"order-1234"', X_User="ann")
    (name,) = valkey.call("KEYS", "*")
    assert b"1234" not in name
    assert (b"order" in valkey.call("GET", name)) is (keys is None)
    assert post("/orders/", key='"order-1234"', X_User="ann").headers["Idempotent-Replayed"] == "true"


def who(request: Any, user: Any) -> str:
    return str(request.headers["X-Device"])


@native
def test_principal__and_fingerprint_of_ones_own(site: Configure) -> None:
    site(PRINCIPAL="tests.idempotency.test_views.who")
    contents = [post("/orders/", X_Device=device, X_User="ann").content for device in ("a", "b", "a")]
    assert contents[0] == contents[2] != contents[1]

    @idempotent(principal=lambda request, user: "all", fingerprint=lambda request: json.loads(request.body)["id"])
    def view(request: Any) -> Any:
        return execute(request)

    def call(body: dict[str, Any]) -> Any:
        sent: dict[str, Any] = {"data": body, "content_type": "application/json", "headers": {"Idempotency-Key": '"k"'}}
        return view(RequestFactory().post("/", **sent))

    assert call({"id": 1, "at": 1}).content == call({"id": 1, "at": 2}).content
    assert problem(call({"id": 2}))[0] == 422


@native
def test_payload__that_was_read_before_is_an_error(site: Configure) -> None:
    request = RequestFactory().post("/", b"x", content_type="text/plain", headers={"Idempotency-Key": '"k"'})
    request.read()
    with pytest.raises(RawPostDataException):
        idempotent(plain)(request)
    assert idempotent(fingerprint=lambda request: b"x")(plain)(request).status_code == 201


@native
def test_tenant__is_named_or_found_out(site: Configure, valkey: Server) -> None:
    for tenant in ("shop", lambda request: request.headers["X-Tenant"]):
        view = idempotent(tenant=tenant)(plain)
        for name in ("a:b", "c"):
            view(RequestFactory().post("/", headers={"Idempotency-Key": '"k"', "X-Tenant": name}))
    assert {key.split(b":")[1] for key in valkey.call("KEYS", "*")} == {b"shop", b"a%3Ab", b"c"}


@native
def test_idempotent__says_what_makes_no_sense(site: Configure) -> None:
    with pytest.raises(TypeError, match="ApiView is a view of Django REST framework: let it inherit IdempotentMixin"):

        @idempotent
        class ApiView(APIView):  # type: ignore[misc]
            pass

    with pytest.raises(ValueError, match="on_failure must be 'open' or 'closed'"):
        idempotent(on_failure="ajar")
    with pytest.raises(ValueError, match="methods must be a list of methods"):
        idempotent(methods="POST")
    with pytest.raises(ValueError, match="ttl must be seconds"):
        Protection(ttl=-1)

    class Orders(View):
        async def post(self, request: Any) -> Any:
            raise AssertionError

    view: Any = idempotent(lambda request: Orders().post(request))
    with pytest.raises(TypeError, match="returns a coroutine and is not declared async"):
        view(RequestFactory().post("/", headers={"Idempotency-Key": '"k"'}))


@native
def test_middleware__leaves_decorated_views_to_their_decorator(behind_middleware: Configure, valkey: Server) -> None:
    for path in DECORATED:
        first, again = post(path), post(path)
        assert (first.content, again.headers["Idempotent-Replayed"]) == (again.content, "true")
    assert valkey.call("DBSIZE") == len(executed) == len(DECORATED)
