"""The example API over real HTTP, over both routes."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.core.servers.basehttp import ThreadedWSGIServer
from django.test import AsyncClient, Client
from django.test.testcases import QuietWSGIRequestHandler

from example_project import settings as example
from tests.sessions.accounts import NAME, PASSWORD

pytestmark = pytest.mark.matrix
CLIENTS = 32
ROOT = Path(__file__).resolve().parents[2]
Ask = Callable[..., "Answer"]


class Answer:
    """A response as it came over the wire."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.body = response.read()
        self.headers = response.headers

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class SiteServer(ThreadedWSGIServer):
    request_queue_size = 4 * CLIENTS  # of Django's ten, a crowd of clients overflows


@pytest.fixture
def site(settings: Any, upstash: dict[str, Any], route: str) -> None:
    """The example site, on the tests' servers."""
    backend = "django_upstash.cache.UpstashCache"
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "example_project.pages"]
    settings.UPSTASH = {**upstash, "default": upstash[route]}
    settings.CACHES = {alias: {"BACKEND": backend, "LOCATION": alias} for alias in ("default", route)}
    settings.UPSTASH_RATELIMIT = {**example.UPSTASH_RATELIMIT, "TIMEOUT": 20}
    settings.REST_FRAMEWORK = example.REST_FRAMEWORK
    settings.ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
    settings.ROOT_URLCONF = "example_project.urls"
    settings.AUTHENTICATION_BACKENDS = ["tests.sessions.accounts.OneUser"]
    settings.MIDDLEWARE = []
    settings.DEBUG = False


@pytest.fixture
def ask(site: None) -> Iterator[Ask]:
    """Return ``ask(path, method, headers, **form)``, which sends a request over a connection of its own."""
    with SiteServer(("127.0.0.1", 0), QuietWSGIRequestHandler) as server:
        server.set_app(WSGIHandler())
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()

        def ask(path: str, method: str = "GET", headers: dict[str, str] | None = None, **form: str) -> Answer:
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
            kind = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
            connection.request(method, path, urlencode(form) or None, {**kind, **(headers or {})})
            answer = Answer(connection.getresponse())
            connection.close()
            return answer

        yield ask
        server.shutdown()
        thread.join()


def test_note__is_limited_as_its_fields_say(ask: Ask, route: str) -> None:
    found = [ask(f"/api/{route}/note/") for _ in range(12)]
    assert [answer.status for answer in found] == [*[200] * 10, 429, 429]
    assert {answer.headers["RateLimit-Policy"] for answer in found[:10]} == {
        '"burst";q=10;w=60, "sustained";q=1000;w=86400'
    }
    left = [answer.headers["X-RateLimit-Remaining"] for answer in found]
    assert left == [*map(str, range(9, -1, -1)), "0", "0"]
    assert "r=990" in found[-1].headers["RateLimit"]
    assert found[-1].json["detail"].startswith("Request was throttled. Expected available in ")
    assert 0 < int(found[-1].headers["Retry-After"]) <= 62


def test_note__written_is_limited_by_its_own_scope(ask: Ask, route: str) -> None:
    found = [ask(f"/api/{route}/note/", "POST", text=f"number {number}").status for number in range(7)]
    assert found == [*[204] * 5, 429, 429]
    assert ask(f"/api/{route}/note/").json == {"note": "number 4"}
    # Those refused have charged the other two nothing: 5 and 1 of 10.
    assert ask(f"/api/{route}/note/").headers["X-RateLimit-Remaining"] == "3"


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("body", ["[]", "5", "null", '"text"', "{"])
@pytest.mark.parametrize("name", ["note", "login"])
def test_body__without_names_is_a_mistake_of_the_client(body: str, name: str, route: str) -> None:
    answer = Client().post(f"/api/{route}/{name}/", body, content_type="application/json")
    assert answer.status_code == 400


def test_login__counts_wrong_ones_alone(ask: Ask, route: str) -> None:
    def log_in(password: str) -> int:
        return ask(f"/api/{route}/login/", "POST", username=NAME, user=NAME, password=password).status

    assert [log_in(PASSWORD) for _ in range(5)] == [200] * 5
    assert [log_in("guess") for _ in range(4)] == [403, 403, 403, 429]
    assert log_in(PASSWORD) == 429


def test_export__lasts_until_it_is_streamed(ask: Ask, route: str) -> None:
    ask(f"/api/{route}/note/", "POST", text="a note")
    found = [ask(f"/api/{route}/export/") for _ in range(3)]
    assert [answer.status for answer in found] == [200, 200, 200]
    assert found[0].body == b"a note"
    assert '"exports at once";q=1;qu="concurrent-requests"' in found[0].headers["RateLimit-Policy"]


def test_unknown_route__is_not_found(ask: Ask) -> None:
    assert ask("/api/nowhere/note/").status == 404


def test_ping__is_limited_by_the_decorator(ask: Ask) -> None:
    found = [ask("/ping/") for _ in range(7)]
    assert [answer.status for answer in found] == [*[200] * 5, 429, 429]
    assert found[-1].headers["Content-Type"] == "application/problem+json"
    assert found[-1].json["violated-policies"] == ["ping"]
    assert int(found[-1].headers["Retry-After"]) >= 1


def test_ping__under_asgi(site: None, runner: Any) -> None:
    async def visit() -> list[int]:
        client = AsyncClient()
        return [(await client.get("/ping/")).status_code for _ in range(6)]

    assert runner.run(visit()) == [*[200] * 5, 429]


HOSTILE = [
    {"X-Forwarded-For": "1.2.3.4"},
    {"X-Forwarded-For": "x" * 8000},
    {"X-Forwarded-For": "\xff\xfe, ;;,, %00"},
    {"Forwarded": "for=1.2.3.4", "X-Real-IP": "1.2.3.4"},
    {"Host": "127.0.0.1", "X-Forwarded-For": ",".join(["1.1.1.1"] * 500)},
]


def test_hostile_headers__neither_fail_nor_gain_anything(ask: Ask, route: str) -> None:
    found = [ask(f"/api/{route}/note/", headers=headers).status for headers in HOSTILE * 3]
    assert found == [*[200] * 10, *[429] * 5]


def test_crowd__is_admitted_up_to_the_limit(ask: Ask, route: str) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        found = list(pool.map(lambda _: ask(f"/api/{route}/note/").status, range(CLIENTS)))
    assert sorted(found) == [*[200] * 10, *[429] * (CLIENTS - 10)]


@pytest.mark.parametrize("code", ["import django_upstash.ratelimit.web", "import example_project.urls"])
def test_package_and_site__without_rest_framework(code: str) -> None:
    missing = "import sys; sys.modules['rest_framework'] = None\n"
    setting_up = "import django; django.setup()\n"
    ran = run(f"{missing}{setting_up}{code}")
    assert ran.returncode == 0, ran.stderr


def test_throttling__without_rest_framework_says_what_to_install() -> None:
    ran = run("import sys; sys.modules['rest_framework'] = None\nimport django_upstash.throttling")
    assert ran.stderr.strip().endswith("needs Django REST framework: pip install 'django-upstash[drf]'")


def run(code: str) -> subprocess.CompletedProcess[str]:
    environment = {"DJANGO_SETTINGS_MODULE": "example_project.settings", "DJANGO_DEBUG": "1"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
