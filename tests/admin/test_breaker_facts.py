"""What the breakers' page says of why a breaker opened, of those that never did, and of those that nobody knows."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from django_upstash.breaker import CircuitBreaker, CircuitOpen
from tests.admin.test_breakers import AGO, breaker, detail, fail, listed, make, operator, plain, post, shown
from tests.servers import Server

pytestmark = pytest.mark.django_db
__all__ = ["breaker", "operator"]


def test_open_breaker__says_why_since_when_and_what_it_refused(
    operator: Client, upstash: Any, route: str, valkey: Server
) -> None:
    breaker = CircuitBreaker("stripe", alias=route, failure_threshold=3, redis_timeout=20, timeout=0.001)
    for _ in range(2):
        fail(breaker)
    with pytest.raises(TimeoutError), breaker:
        raise TimeoutError
    opened = make("slow", route)
    fail(opened)
    for _ in range(4):
        with pytest.raises(CircuitOpen):
            opened.call(int)
    html = plain(shown(operator, route, detail("stripe")))
    assert "3 of 3" in html
    assert "TimeoutError" in html
    assert re.search(AGO, html)
    assert "at least 4" in plain(shown(operator, route, detail("slow")))


def test_refusals__are_told_with_a_probe(operator: Client, upstash: Any, route: str, valkey: Server) -> None:
    breaker = make("stripe", route)
    fail(breaker)
    for _ in range(4):
        with pytest.raises(CircuitOpen):
            breaker.call(int)
    state, _ends, *rest = valkey.call("GET", "breaker:stripe").split()
    valkey.call("SET", "breaker:stripe", b" ".join([state, b"1", *rest]))  # it may be probed
    breaker.circuit.asks_at = 0.0
    with pytest.raises(ZeroDivisionError), breaker:
        raise ZeroDivisionError
    assert b"refused_4=0" in valkey.call("GET", "breaker:stripe")
    assert breaker.circuit.untold_refusals == 0
    assert "at least 4" in listed(shown(operator, route))[0]


def test_breakers_that_never_opened__are_listed(operator: Client, upstash: Any, route: str, settings: Any) -> None:
    settings.UPSTASH_BREAKER = {"ALIAS": route, "REDIS_TIMEOUT": 20, "BREAKERS": {"sms": {"FAILURE_THRESHOLD": 3}}}
    CircuitBreaker("used here").call(int)
    assert listed(shown(operator, route)) == [
        "sms | closed | 0 of 3 | 0 | - | - | - | -",
        "used here | closed | 0 of 5 | 0 | - | - | - | -",
    ]
    for name in ("sms", "used here"):
        assert "closed</span>" in shown(operator, route, detail(name))


def test_breaker_that_nobody_knows__is_not_found_and_forcing_it_asks(
    operator: Client, breaker: CircuitBreaker, route: str
) -> None:
    answer = operator.get(detail("doesnotexist"), {"alias": route})
    assert answer.status_code == 404
    question = "is the name right?"
    assert question in post(operator, "force", route, key="", name="typo").content.decode()
    fail(breaker)
    assert question not in post(operator, "force", route).content.decode()
