"""Clients that are known by their session cookie alone, where the cookie is the session: it changes with each save."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from tests.idempotency.conftest import post
from tests.idempotency.site import executed

pytestmark = pytest.mark.matrix


@pytest.fixture
def cookies(site: Callable[..., None], settings: Any) -> list[str]:
    """The cookies of two visitors, and of the first once more after its session was saved."""
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"

    def cookie(**data: Any) -> str:
        session = Client().session
        session.update(data)
        session.save()
        return f"sessionid={session.session_key}"

    return [cookie(cart=[1]), cookie(cart=[2]), cookie(cart=[1, 2])]


def test_retry_with_the_same_cookie__is_replayed(cookies: list[str]) -> None:
    first, again = (post("/orders/", Cookie=cookies[0]) for _ in range(2))
    assert (again.content, len(executed)) == (first.content, 1)


def test_other_visitor__gets_a_response_of_its_own(cookies: list[str]) -> None:
    assert post("/orders/", Cookie=cookies[0]).content != post("/orders/", Cookie=cookies[1]).content
    assert len(executed) == 2


def test_client_whose_cookie_was_replaced__is_another(cookies: list[str]) -> None:
    """As the documentation says: who got the response, with a new cookie, has no reason to ask again."""
    assert post("/orders/", Cookie=cookies[0]).content != post("/orders/", Cookie=cookies[2]).content
    assert len(executed) == 2
