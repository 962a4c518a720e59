"""The pages in a browser while the server of the sessions is away: staff and visitors read why, and come back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from django_upstash.dev_server import LocalServer
from tests.admin.browsing import Visit, is_well_made, running_site
from tests.servers import Server, start_valkey

pytestmark = pytest.mark.slow
PAGES = (
    *("/admin/", "/admin/auth/user/", "/devices/"),
    *(f"/admin/django_upstash/{name}/" for name in ("ratelimitcounter", "circuitbreakerstate", "tenantusage")),
)
BACK_WITHIN = 20.0  # seconds; the process looks for the server once a second


@pytest.fixture
def dying() -> Iterator[Server]:
    with start_valkey() as server:
        yield server


@pytest.fixture
def visiting(browser: Any, dying: Server, tmp_path: Path) -> Iterator[Visit]:
    """A member of staff whose session is on the server, as everything is in the example project."""
    with LocalServer(dying.url) as rest, running_site(dying, rest, tmp_path, SITE_SESSIONS="example") as site:
        visit = Visit(browser, site)
        yield visit
        visit.context.close()


def status(visit: Visit, path: str) -> int:
    return int(visit.page.goto(f"{visit.site}{path}").status)


def test_pages__explain_why_and_the_login_outlasts_it(visiting: Visit, dying: Server) -> None:
    assert [status(visiting, path) for path in PAGES] == [200] * len(PAGES)
    cookies = visiting.context.cookies()
    dying.pause()
    for path in PAGES:
        assert status(visiting, path) == 503, path
        assert visiting.page.text_content("h1") == "Service unavailable"
        assert "redis_health" in visiting.page.text_content("main")
    is_well_made(visiting.page, "html")
    assert visiting.context.cookies() == cookies

    dying.resume()
    deadline = time.monotonic() + BACK_WITHIN
    while status(visiting, "/devices/") != 200 and time.monotonic() < deadline:
        visiting.page.wait_for_timeout(200)
    assert visiting.page.url.endswith("/devices/")  # and not at the form of a login
    assert [status(visiting, path) for path in PAGES] == [200] * len(PAGES)


def test_login_form__explains_why(visiting: Visit, dying: Server) -> None:
    page = visiting.page
    page.context.clear_cookies()
    page.goto(f"{visiting.site}/admin/login/?next=/admin/")
    dying.stop()
    page.fill("#id_username", "operator")
    page.fill("#id_password", "operator")
    page.click("[type=submit]")
    page.wait_for_selector("text=Service unavailable")
    assert {cookie["name"] for cookie in page.context.cookies()} <= {"csrftoken"}
