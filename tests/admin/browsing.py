"""Chromium, the browser tests' site in a process of its own, and a page that notes what goes wrong."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from django_upstash.dev_server import LocalServer
from tests.admin import axe
from tests.admin.site import PASSWORD, USER
from tests.servers import Server

ROOT = Path(__file__).resolve().parents[2]
# Where it is set, a browser that is not here is a failure.
REQUIRED = "REQUIRE_BROWSER"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
PATIENCE = 20_000.0  # milliseconds
_START = 30.0


def missing(reason: str) -> None:
    """Skip the test, or fail it where a browser is required."""
    (pytest.fail if os.environ.get(REQUIRED) else pytest.skip)(reason)


def chromium() -> str:
    """Return the path of the system's Chromium."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        missing("Chromium is not on PATH; apt-get install chromium.")
    return str(found)


@contextmanager
def running_browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed; pip install playwright.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def running_site(server: Server, rest: LocalServer, folder: Path, **variables: str) -> Iterator[str]:
    """Serve the site over both routes until the end of the block; yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "SITE_DATABASE": str(folder / "site.sqlite3"),
        "REDIS_URL": server.url,
        "UPSTASH_REDIS_REST_URL": rest.url,
        "UPSTASH_REDIS_REST_TOKEN": rest.token,
        **variables,
    }
    with (folder / f"site-{port}.log").open("w") as log:
        command = [sys.executable, "-m", "tests.admin.site", str(port)]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            _wait_for(process, port, Path(log.name))
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"The site did not start:\n{log.read_text()[-2000:]}")


class Visit:
    """A page of a logged-in operator, and what must not happen there: console errors, requests to elsewhere."""

    def __init__(self, browser: Any, site: str, **options: Any) -> None:
        self.site = site
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.log_in()

    @property
    def outside(self) -> list[str]:
        ours = urlsplit(self.site).netloc
        return [url for url in self.requests if urlsplit(url).netloc not in ("", ours)]

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(f"{message.type}: {message.text}")

    def log_in(self) -> None:
        self.page.goto(f"{self.site}/admin/login/?next=/admin/")
        self.page.fill("#id_username", USER)
        self.page.fill("#id_password", PASSWORD)
        self.page.click("[type=submit]")
        self.page.wait_for_selector("#site-name")

    def open_list(self, alias: str, query: str = "") -> Any:
        """Open the list of counters and return the page."""
        self.page.goto(f"{self.site}/admin/django_upstash/ratelimitcounter/?alias={alias}{query}")
        self.page.wait_for_selector(".upstash")
        return self.page


def is_well_made(page: Any, part: str = "#content") -> None:
    """Check that nothing sticks out, and that axe-core finds no serious violation in the part of the page."""
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    try:
        found = axe.serious_violations(page, part)
    except axe.AxeMissing as error:
        missing(str(error))
    assert found == []
