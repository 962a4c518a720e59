"""Views of Django REST framework: looked up for whom the framework has let in, and for nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.test.client import encode_multipart

from tests.idempotency import site as pages
from tests.idempotency.conftest import post, problem
from tests.idempotency.site import executed
from tests.servers import Server

pytestmark = pytest.mark.matrix

KINDS = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/lines"]
VIEWS = ["/api/orders/", "/api/function/"]
Configure = Callable[..., None]
views = pytest.mark.parametrize("path", VIEWS)
native = pytest.mark.parametrize("route", ["native"])


@views
def test_replay__is_byte_identical_but_for_cookies(site: Configure, path: str) -> None:
    first, again = (post(path, {"amount": 1}, X_Token_Of="ann") for _ in range(2))
    assert (first.status_code, again.status_code, executed) == (201, 201, [path])
    assert again.content == first.content
    assert dict(again.headers) == {**first.headers, "Idempotent-Replayed": "true"}
    assert set(again.cookies) == set()


@views
def test_keys__are_of_one_user(site: Configure, path: str) -> None:
    contents = [post(path, X_Token_Of=user).json()["for"] for user in ("ann", "bob", "ann")]
    assert (contents, len(executed)) == (["ann", "bob", "ann"], 2)


@pytest.mark.parametrize("path", ["/api/orders/"])
def test_replay__comes_after_authentication_and_permissions(site: Configure, path: str, valkey: Server) -> None:
    assert post(path).status_code == 403
    assert valkey.call("DBSIZE") == 0
    assert post(path, X_Token_Of="ann").status_code == 201
    assert post(path).status_code == 403
    assert post(path, X_Token_Of="ann", X_Forbidden="yes").status_code == 403
    assert post(path, X_Token_Of="ann").headers["Idempotent-Replayed"] == "true"
    assert executed == [path]


@native
def test_payload__changed_is_refused(site: Configure) -> None:
    post("/api/orders/", {"amount": 1}, X_Token_Of="ann")
    assert problem(post("/api/orders/", {"amount": 2}, X_Token_Of="ann")) == (422, "idempotency_key_reused")
    assert problem(post("/api/orders/", key=None, X_Token_Of="ann")) == (400, "idempotency_key_missing")


@native
def test_payload__of_a_form(site: Configure) -> None:
    headers = {"Idempotency-Key": '"k"', "X-Token-Of": "ann"}
    statuses = [Client().post("/api/orders/", data, headers=headers).status_code for data in ({"a": 1}, {"a": 1}, {})]
    assert (statuses, len(executed)) == ([201, 201, 422], 1)


@native
def test_payload__of_a_form_that_is_no_post(site: Configure) -> None:
    headers = {"Idempotency-Key": '"k"', "X-Token-Of": "ann"}

    def send(amount: int, boundary: str) -> Any:
        data, kind = encode_multipart(boundary, {"amount": amount}), f"multipart/form-data; boundary={boundary}"
        return Client().patch("/api/orders/", data, content_type=kind, headers=headers)

    assert [send(*given).status_code for given in ((1, "a"), (1, "b"), (2, "a"))] == [405, 405, 422]


@native
@pytest.mark.parametrize("kind", KINDS)
def test_payload__that_a_permission_has_parsed(site: Configure, kind: str) -> None:
    headers = {"Idempotency-Key": '"k"', "X-Token-Of": "ann", "X-Reads-Data": "yes"}

    def send(amount: str) -> int:
        form = f'--x\r\nContent-Disposition: form-data; name="amount"\r\n\r\n{amount}\r\n--x--\r\n'
        data = {"application/json": f'{{"amount": {amount}}}', "multipart/form-data; boundary=x": form}
        body = data.get(kind, f"amount={amount}")
        return Client().post("/api/orders/", body, content_type=kind, headers=headers).status_code

    assert ([send("1"), send("1"), send("2")], len(executed)) == ([201, 201, 422], 1)


@native
def test_keys__of_clients_that_are_no_users(site: Configure) -> None:
    answers = [post("/api/keyed/", X_Device=key).json()["for"] for key in ("one", "two", "one")]
    assert (answers, len(executed)) == (["one", "two", "one"], 2)


@native
def test_replay__has_the_headers_of_the_first_time(site: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    first = post("/api/orders/", X_Token_Of="ann")
    monkeypatch.setattr(pages.ApiOrders, "http_method_names", ["post"])
    assert post("/api/orders/", X_Token_Of="ann").headers["Allow"] == first.headers["Allow"] == "POST, OPTIONS"


@native
def test_errors__of_the_handler_are_stored_and_bugs_are_not(site: Configure) -> None:
    refused = [post("/api/orders/", {"invalid": True}, X_Token_Of="ann") for _ in range(2)]
    assert [reply.status_code for reply in refused] == [400, 400]
    assert (refused[0].content, len(executed)) == (refused[1].content, 1)
    for _ in range(2):
        assert post("/api/orders/", {"raise": True}, key='"bug"', X_Token_Of="ann").status_code == 500
    assert len(executed) == 3


@native
def test_middleware__does_not_touch_the_frameworks_views(behind_middleware: Configure, valkey: Server) -> None:
    answers = [post("/api/unprotected/", X_Token_Of=user).json()["for"] for user in ("ann", "bob", "ann")]
    assert (answers, valkey.call("DBSIZE")) == (["ann", "bob", "ann"], 0)
    first, again = (post("/api/orders/", X_Token_Of="ann") for _ in range(2))
    assert (first.content, again.headers["Idempotent-Replayed"]) == (again.content, "true")


@native
def test_read_only_methods__are_let_through(site: Configure) -> None:
    assert Client().options("/api/orders/", headers={"X-Token-Of": "ann"}).status_code == 200
