"""Responses are stored when the transaction is committed, and not before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections as databases
from django.db import transaction

from tests.idempotency.conftest import post, problem
from tests.idempotency.site import executed

pytestmark = [pytest.mark.matrix, pytest.mark.django_db(transaction=True)]

Configure = Callable[..., None]
PATHS = ["/orders/", "/class-orders/", "/api/orders/"]


@pytest.fixture(params=["native"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def atomic_requests(settings: Any) -> Any:
    database = databases["default"]
    database.settings_dict["ATOMIC_REQUESTS"] = True
    yield
    database.settings_dict["ATOMIC_REQUESTS"] = False


@pytest.mark.parametrize("path", PATHS)
def test_response__is_stored_at_the_commit(site: Configure, path: str) -> None:
    with transaction.atomic():
        first = post(path, X_Token_Of="ann")
        assert first.status_code == 201
        during = post(path, X_Token_Of="ann")
        assert problem(during) == (409, "idempotency_key_in_progress")
        assert during.headers["Retry-After"] == "1"
    assert post(path, X_Token_Of="ann").content == first.content
    assert executed == [path]


@pytest.mark.parametrize("path", PATHS)
def test_response__of_what_was_rolled_back_is_not_stored(site: Configure, path: str) -> None:
    with transaction.atomic():
        assert post(path, X_Token_Of="ann").status_code == 201
        transaction.set_rollback(True)
    # As after a crash: nobody has the work or its response, and the reservation ends by itself.
    assert problem(post(path, X_Token_Of="ann")) == (409, "idempotency_key_in_progress")


@pytest.mark.parametrize("path", PATHS)
def test_atomic_requests(site: Configure, atomic_requests: None, path: str) -> None:
    first, again = (post(path, X_Token_Of="ann") for _ in range(2))
    assert (first.status_code, again.content, executed) == (201, first.content, [path])


def test_atomic_requests__under_the_middleware(behind_middleware: Configure, atomic_requests: None) -> None:
    first, again = (post("/plain/") for _ in range(2))
    assert (first.status_code, again.content, executed) == (201, first.content, ["/plain/"])
    for _ in range(2):
        assert post("/plain/", {"raise": True}, key='"bug"').status_code == 500
    assert len(executed) == 3


def test_response__that_goes_with_a_rollback_is_stored(site: Configure, atomic_requests: None) -> None:
    first, again = (post("/failing-commit/") for _ in range(2))
    assert (first.status_code, again.content, executed) == (201, first.content, ["/failing-commit/"])


def test_error__of_a_handler_that_undoes_its_transaction(site: Configure, atomic_requests: None) -> None:
    replies = [post("/api/orders/", {"invalid": True}, X_Token_Of="ann") for _ in range(2)]
    assert [reply.status_code for reply in replies] == [400, 400]
    assert replies[1].headers["Idempotent-Replayed"] == "true"
    assert executed == ["/api/orders/"]
