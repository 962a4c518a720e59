"""The pages in a browser, over both routes: what an operator does, live, in the dark, on a phone, and in an outage."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import pytest

from django_upstash.dev_server import LocalServer
from django_upstash.ratelimit import RateLimiter
from tests.admin.browsing import Visit, is_well_made, running_site
from tests.admin.conftest import MakeVisit
from tests.admin.site_limiters import POLICIES
from tests.servers import start_valkey

pytestmark = pytest.mark.slow


@pytest.fixture
def here(route: str) -> RateLimiter:
    """The site's limiter as another process has it: the tests'."""
    return RateLimiter(POLICIES, alias=route)


def ask(site: str, alias: str, who: str) -> tuple[int, str]:
    """Ask the site's limited API; return the status and the reason of the decision."""
    try:
        with build_opener(ProxyHandler({})).open(f"{site}/limited/{alias}/{who}/") as answer:
            return answer.status, json.load(answer)["reason"]
    except HTTPError as error:
        with error:
            return error.code, json.load(error)["reason"]


def until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def confirm(page: Any) -> str:
    """Confirm what the page asks, and return what the admin then says."""
    page.click("[name=_confirmed]")
    return str(page.text_content(".messagelist"))


def test_client__is_found_read_and_reset(
    visit: MakeVisit, site: str, alias: str, here: RateLimiter, route: str
) -> None:
    who = "user:1"  # the operator
    while ask(site, alias, who)[0] == 200:
        pass
    assert not here.hit(who).allowed
    page = visit().open_list(alias)
    page.fill("#searchbar", who)
    page.press("#searchbar", "Enter")
    row = page.locator("#result_list tbody tr", has_text="burst")
    row.wait_for()
    assert row.locator("meter").get_attribute("aria-label") == "3 of 3 used"
    assert row.locator(".upstash-person").text_content() == "operator"
    assert row.locator(".upstash-state").text_content() == "At limit"

    for box in page.locator("#result_list tbody .action-select").all():
        box.check()
    assert page.text_content("[data-selection]") == "2 of 2 selected"
    page.click("text=Reset selected…")
    assert "2 counters will be removed" in page.text_content(".upstash-plan")
    assert "Removed: 2 counters." in confirm(page)
    assert ask(site, alias, who) == (200, "within limits")  # at once in the admin's process
    assert until(lambda: here.hit(who).allowed, 6)  # and in another within five seconds


def test_client__is_blocked_and_unblocked(visit: MakeVisit, site: str, alias: str, here: RateLimiter) -> None:
    who = f"user:{2000 + (alias == 'rest')}"
    assert ask(site, alias, who)[0] == 200
    assert here.hit(who).allowed
    page = visit().open_list(alias, f"&q={who}")
    page.click("#result_list tbody th a >> nth=0")
    page.select_option("#upstash-block-seconds", label="1 day")
    page.click("text=Block…")
    assert who in page.text_content(".upstash-plan")
    assert page.input_value("#id_seconds") == "86400"
    assert "Blocked for 1 d" in confirm(page)
    assert page.locator("[data-part=decision] .upstash-state").text_content() == "Blocked"
    assert ask(site, alias, who) == (429, "blocked")
    assert until(lambda: here.hit(who).reason == "blocked", 6)

    page.click("text=Unblock…")
    assert "Unblocked" in confirm(page)
    assert ask(site, alias, who)[1] != "blocked"
    assert until(lambda: here.hit(who).reason != "blocked", 6)
    page.click("text=History")
    history = page.text_content("#content")
    assert "Blocked for 1 d." in history
    assert "Unblocked." in history


def test_limit__is_changed_and_taken_back(visit: MakeVisit, site: str, alias: str, here: RateLimiter) -> None:
    who = f"user:{3000 + (alias == 'rest')}"
    here.hit(who)
    page = visit().open_list(alias, f"&q={who}&o=scope")
    page.click("#result_list tbody tr:has-text('sustained') th a")
    page.fill("#upstash-limit", "7")
    page.click("form:has(#upstash-limit) button")
    assert "7 in 1 h" in page.text_content(".upstash-plan")
    confirm(page)
    assert "1/7" in page.text_content("[data-part=decision]")
    assert until(lambda: here.peek(who).outcomes[0].limit == 7, 6)
    page = visit().open_list(alias)
    page.click("tr:has-text('sustained') >> text=Take back…")
    confirm(page)
    assert until(lambda: here.peek(who).outcomes[0].limit == 100, 6)


def test_thousand_counters__are_paged_through(visit: MakeVisit, alias: str, here: RateLimiter) -> None:
    for number in range(500):
        here.hit(f"user:{number}")
    page = visit().open_list(alias, "&o=who")
    seen: set[str] = set()
    for _ in range(40):
        seen |= set(page.eval_on_selector_all("#result_list .action-select", "boxes => boxes.map(box => box.value)"))
        further = page.locator(".upstash-pager [aria-current=page]").locator("xpath=../following-sibling::li[1]/a")
        following = further if further.count() else page.locator(".upstash-continue")
        if not following.count():
            break
        following.click()
        page.wait_for_load_state()
    assert len(seen) == 1000


def test_refresh__keeps_selection_focus_and_scroll(visit: MakeVisit, alias: str, here: RateLimiter) -> None:
    for number in range(40):
        here.hit(f"user:{number}")
    page = visit().open_list(alias, "&scope=sustained&o=who")
    assert re.search(r"Each refresh, every 1 s: \d requests?, \d commands \(about [\d,]+ commands an hour\)",
                     page.text_content("#upstash-budget"))  # fmt: skip
    box = page.locator(".action-select[value='ratelimit:default:sustained:user:7']")
    box.check()
    box.focus()
    page.evaluate("window.scrollTo(0, 400)")
    place = page.evaluate("window.scrollY")
    here.hit("user:7")
    page.wait_for_selector("tr:has(.action-select[value$=':user:7']) >> text=2/100")
    assert box.is_checked()
    assert page.evaluate("document.activeElement.value") == "ratelimit:default:sustained:user:7"
    assert page.evaluate("window.scrollY") == place
    assert page.text_content("[data-selection]") == "1 of 40 selected"


def live_requests(visit: Visit) -> int:
    return sum("_live=1" in url for url in visit.requests)


def test_refresh__stops_in_a_hidden_tab_and_by_hand(visit: MakeVisit, alias: str, here: RateLimiter) -> None:
    here.hit("user:1")
    visiting = visit()
    page = visiting.open_list(alias)
    assert until(lambda: page.wait_for_timeout(100) is None and live_requests(visiting) > 0, 20)
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {configurable: true, value: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    page.wait_for_load_state("networkidle")
    before = live_requests(visiting)
    page.wait_for_timeout(2500)
    assert live_requests(visiting) == before
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {configurable: true, value: false});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    assert until(lambda: page.wait_for_timeout(100) is None and live_requests(visiting) > before, 20)
    page.click("text=Pause")
    page.wait_for_load_state("networkidle")
    before = live_requests(visiting)
    page.wait_for_timeout(2500)
    assert live_requests(visiting) == before


def test_keyboard__reaches_and_does_everything(visit: MakeVisit, alias: str, here: RateLimiter) -> None:
    here.hit("user:8")
    page = visit().open_list(alias, "&q=user:8")
    page.focus("#searchbar")
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.value || document.activeElement.textContent.trim()"))
    assert {"Search", "Reset selected…", "Block selected…", "user:8", "Block…"} <= set(reached)
    page.focus(".action-select >> nth=0")
    page.keyboard.press("Space")
    page.focus("text=Reset selected…")
    page.keyboard.press("Enter")
    page.wait_for_selector(".upstash-plan")
    page.focus("[name=_confirmed]")
    page.keyboard.press("Enter")
    assert "Removed: 1 counter." in page.text_content(".messagelist")


def fill_all(here: RateLimiter) -> None:
    for number in range(12):
        for _ in range(1 + number % 5):
            here.hit(f"user:{number}")
    here.hit("ann@example.com")
    here.block("203.0.113.0/24", 3600)
    here.hit("203.0.113.9")
    here.set_limit("sustained", 50)


@pytest.mark.parametrize("look", ["light", "dark", "phone", "right-to-left"])
def test_looks__fit_and_are_accessible(visit: MakeVisit, here: RateLimiter, alias: str, look: str) -> None:
    options: dict[str, dict[str, Any]] = {
        "light": {},
        "dark": {"color_scheme": "dark"},
        "phone": {"viewport": {"width": 375, "height": 800}},
        "right-to-left": {"locale": "ar", "extra_http_headers": {"Accept-Language": "ar"}},
    }
    fill_all(here)
    page = visit(**options[look]).open_list(alias)
    assert page.locator("html").get_attribute("dir") == ("rtl" if look == "right-to-left" else "ltr")
    if look == "dark":
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 18, 18)"
    is_well_made(page)
    page.click("#result_list tbody th a >> nth=0")
    page.wait_for_selector(".upstash-facts")
    is_well_made(page)
    page.click(f"form[action$='{'unblock' if page.locator(DO_UNBLOCK).count() else 'block'}/'] button")
    page.wait_for_selector(".upstash-plan")
    is_well_made(page)


DO_UNBLOCK = "form[action$='/do/unblock/']"


def test_server_that_dies__is_a_message_until_it_is_back(browser: Any, tmp_path: Path) -> None:
    with start_valkey() as server, LocalServer(server.url) as rest, running_site(server, rest, tmp_path) as site:
        assert ask(site, "default", "user:1")[0] == 200
        visiting = Visit(browser, site)
        for alias in ("default", "rest"):
            page = visiting.open_list(alias)
            page.check(".action-select >> nth=0")
            server.stop()
            page.wait_for_selector("[data-live-status]:not(:empty)")
            assert page.is_checked(".action-select >> nth=0")
            page.click("text=Reset selected…")
            page.wait_for_selector(".messagelist .error")
            page.reload()
            assert "The server cannot be asked." in page.text_content(".upstash-failure")
            server.start()
            assert until(lambda: ask(site, "default", "user:1")[1] == "within limits", 10)
            assert until(lambda: shows_counters(visiting.page), 10)
        assert (visiting.errors, visiting.outside) == ([], [])
        visiting.context.close()


def shows_counters(page: Any) -> bool:
    page.reload()
    return bool(page.locator("#result_list tbody tr").count())


def test_site__has_a_strict_content_security_policy(visit: MakeVisit, site: str) -> None:
    visiting = visit()
    answer = visiting.page.goto(f"{site}/admin/django_upstash/ratelimitcounter/")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self'")
    assert "unsafe" not in policy
    inline = visiting.page.locator("#content script, #content style, #content [style], #content [onclick]")
    assert inline.count() == 0
