"""What an operator types, reads and narrows down, in a browser: blocks, open breakers, filtered statistics."""

from __future__ import annotations

import re
from typing import Any

import pytest

from django_upstash.breaker import CircuitBreaker, CircuitOpen
from django_upstash.ratelimit import RateLimiter, SlidingWindow
from tests.admin.browsing import is_well_made
from tests.admin.conftest import MakeVisit
from tests.admin.site_limiters import POLICIES
from tests.admin.test_browser_pages import LOOKS, open_page

pytestmark = pytest.mark.slow


def block(page: Any, typed: str) -> str:
    """Type whom to block; return what the page then asks or says."""
    page.fill("#upstash-block", typed)
    page.click("form:has(#upstash-block) button")
    page.wait_for_selector(".upstash-plan, .messagelist")
    return str(page.text_content("#container"))


def test_block__of_a_slip_is_refused_or_asked_about(visit: MakeVisit, alias: str) -> None:
    page = visit().open_list(alias)
    for typed in ("203.0.113.300", "198.51.100.8/33", "1.2.3", "::g"):
        assert f"“{typed}” is no address and no network" in block(page, typed)
        assert page.locator(".upstash-plan").count() == 0
    asked = block(page, "user42")
    assert "You typed “user42”: neither an address nor user:<pk>." in asked
    assert "No counter of this client exists" in asked
    is_well_made(page)


@pytest.mark.parametrize("typed", ["user42", "ann@example.com", "<img src=x onerror=alert(1)>@b"])
def test_blocks__are_told_apart_when_unblocking(visit: MakeVisit, alias: str, typed: str) -> None:
    label = {"ann@example.com": "a…@example.com"}.get(typed, typed.replace("<img src=x onerror=alert(1)>", "<…"))
    page = visit().open_list(alias)
    for name in ("another", typed):
        block(page, name)
        page.click("[name=_confirmed]")
        page.wait_for_selector(".messagelist")
    row = page.locator("tr", has_text=f"“{label}”")
    row.wait_for()
    row.locator("text=Unblock…").click()
    assert f"“{label}”" in page.text_content(".upstash-plan")
    page.click("[name=_confirmed]")
    assert f"“{label}”" in page.text_content(".messagelist")
    assert page.locator("tr", has_text="“another”").count() == 1
    page.locator("tr", has_text="“another”").locator("text=Unblock…").click()
    page.click("[name=_confirmed]")


@pytest.mark.parametrize("look", LOOKS)
def test_exact_search__is_accessible(visit: MakeVisit, alias: str, route: str, look: str) -> None:
    RateLimiter(POLICIES, alias=route).hit("user:1")
    page = visit(**LOOKS[look]).open_list(alias, "&q=user:1")
    page.wait_for_selector("text=Scan for it in every scope")
    is_well_made(page)


@pytest.mark.parametrize("look", LOOKS)
def test_open_breaker__says_why(visit: MakeVisit, alias: str, route: str, look: str) -> None:
    name = f"stripe {look}"
    breaker = CircuitBreaker(name, alias=route, redis_timeout=20, failure_threshold=2, timeout=3600)
    for error in (TimeoutError, ConnectionError):
        with pytest.raises(error), breaker:
            raise error
    with pytest.raises(CircuitOpen):
        breaker.call(int)
    page = open_page(visit(**LOOKS[look]), "circuitbreakerstate/", alias)
    row = page.locator("#result_list tbody tr", has_text=name)
    assert re.search(r"2 of 2\s+ConnectionError", str(row.text_content()))
    is_well_made(page)
    row.locator("a").click()
    facts = str(page.text_content("[data-part=standing]"))
    assert re.search(r"\d+ s ago \(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\)", facts)
    assert "at least 0" in facts  # this process has refused one, and tells when it probes
    is_well_made(page)


def test_breaker_that_nobody_knows__is_asked_about(visit: MakeVisit, alias: str) -> None:
    page = open_page(visit(), "circuitbreakerstate/", alias)
    page.fill("#upstash-force", "nonexistent-typo")
    page.click("text=Force…")
    assert "is the name right?" in page.text_content(".upstash-plan")


def test_filters__narrow_chart_tiles_and_denials(visit: MakeVisit, alias: str, route: str) -> None:
    scopes = [f"narrow {alias}", f"wide {alias}"]
    limiter = RateLimiter(
        [SlidingWindow("2/h", scope=scopes[0]), SlidingWindow("100/h", scope=scopes[1])], alias=route, statistics=True
    )
    who = f"user:{7000 + (alias == 'rest')}"
    for _ in range(5):
        limiter.hit(who)
    limiter.write_statistics()
    visiting = visit()
    for scope, denied in zip(scopes, ("3", "0"), strict=True):
        page = visiting.open_list(alias)
        page.select_option("select[name=scope]", scope)  # which submits the form
        label = f"Decisions in the last 1 h: 2 allowed, {denied} denied."
        page.wait_for_selector(f".upstash-chart svg[aria-label='{label}']")
        assert page.locator("[data-part=tile-denied] strong").text_content() == denied
        assert page.locator("h3", has_text="Denied most").count() == (denied == "3")
    page = visiting.open_list(alias, "&q=nobody")
    assert page.locator(".upstash-chart svg").get_attribute("aria-label") == "Denials in the last 1 h: 0."
    assert page.locator("h3", has_text="Denied most").count() == 0
