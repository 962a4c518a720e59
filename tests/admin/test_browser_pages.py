"""The pages of breakers and tenants in a browser: forced and released live, on a phone and in the dark, accessible."""

from __future__ import annotations

from typing import Any

import pytest

from django_upstash.breaker import CircuitBreaker, State
from django_upstash.tenants import Tenant
from tests.admin.browsing import is_well_made
from tests.admin.conftest import MakeVisit

pytestmark = pytest.mark.slow
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 900}},
    "dark": {"viewport": {"width": 1100, "height": 800}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 375, "height": 700}},
}


def open_page(visit: Any, path: str, alias: str, query: str = "") -> Any:
    visit.page.goto(f"{visit.site}/admin/django_upstash/{path}?alias={alias}{query}")
    visit.page.wait_for_selector(".upstash")
    return visit.page


def test_breaker__is_forced_and_released(visit: MakeVisit, alias: str, route: str) -> None:
    here = CircuitBreaker("stripe <b>", alias=route, redis_timeout=20)
    page = open_page(visit(), "circuitbreakerstate/", alias)
    page.fill("#upstash-force", "stripe <b>")
    page.click("text=Force…")
    page.click("[name=_confirmed]")
    assert "is forced open, for 1 h" in page.text_content(".messagelist")
    assert here.read().state is State.FORCED_OPEN
    here.force_close(60)
    page.wait_for_selector("tbody >> text=forced closed")  # by itself, without loading the page again
    page.click("tbody >> text=stripe <b>")
    page.click("text=Release…")
    page.click("[name=_confirmed]")
    assert "is released" in page.text_content(".messagelist")
    assert here.read().state is State.CLOSED


@pytest.mark.parametrize("look", LOOKS)
def test_looks__fit_and_are_accessible(visit: MakeVisit, alias: str, route: str, settings: Any, look: str) -> None:
    settings.UPSTASH_TENANTS = {"ALIAS": route}
    CircuitBreaker("a long name of a breaker " * 5, alias=route, redis_timeout=20).force_open(600)
    tenant = Tenant("tenant-of-a-long-name-" * 4)
    for name in ("tokens", "requests", "stored bytes"):
        tenant.usage.add(name, 1_234_567_890)
    tenant.usage.flush()
    visiting = visit(**LOOKS[look])
    for path in ("circuitbreakerstate/", "tenantusage/"):
        page = open_page(visiting, path, alias)
        is_well_made(page)
        page.click("#result_list tbody th a")
        page.wait_for_selector(".upstash-section")
        is_well_made(page)
    page.click("text=Measure")
    page.wait_for_selector("text=cache:")
    is_well_made(page)
