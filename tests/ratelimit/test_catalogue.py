"""What a process knows of the policies that its limiters decide by."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from django_upstash.ratelimit import FixedWindow, RateLimiter, SlidingWindow
from django_upstash.ratelimit.policy_registry import MOST_KNOWN, Catalogue, catalogue

MINUTE, HOUR = FixedWindow("3/min", scope="few"), SlidingWindow("9/h", scope="few")


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    catalogue.clear()
    yield
    catalogue.clear()


def test_limiter__enters_its_policies() -> None:
    RateLimiter([MINUTE, SlidingWindow("9/h", scope="many")], tenant="acme")
    assert catalogue.scopes() == [("acme", "few"), ("acme", "many")]
    assert catalogue.policy("acme", "few") == MINUTE
    assert not catalogue.counts()
    RateLimiter(HOUR, statistics=True)
    assert catalogue.counts()


def test_policy__is_the_latest_or_else_another_tenants() -> None:
    RateLimiter(MINUTE, tenant="acme")
    assert catalogue.policy("other", "few") == MINUTE
    RateLimiter(HOUR, tenant="other")
    assert catalogue.policy("other", "few") == HOUR
    RateLimiter(HOUR, tenant="acme")
    assert catalogue.policy("acme", "few") == HOUR
    assert catalogue.policy("acme", "unknown") is None


def test_suppose__gives_way_to_what_is_known() -> None:
    catalogue.suppose("acme", HOUR)
    assert catalogue.policy("acme", "few") == HOUR
    RateLimiter(MINUTE, tenant="acme")
    catalogue.suppose("acme", HOUR)
    assert catalogue.policy("acme", "few") == MINUTE


def test_catalogue__is_bounded_whoever_enters() -> None:
    crowded = Catalogue()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: crowded.enter(f"tenant {number}", [MINUTE]), range(MOST_KNOWN + 100)))
    assert len(crowded.scopes()) == MOST_KNOWN
    crowded.enter("latest", [HOUR])
    assert crowded.policy("latest", "few") == HOUR
