"""The example project runs, alone and as the demo, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, ProxyHandler, build_opener

import pytest

from tests.servers import Server

ROOT = Path(__file__).resolve().parent.parent
UNSET = ("DJANGO_SETTINGS_MODULE", "REDIS_URL", "UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN")
PUBLIC = {
    "DJANGO_DEBUG": "0",
    "DJANGO_SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "DJANGO_ALLOWED_HOSTS": "example.com",
    "REDIS_URL": "rediss://default:password@db.upstash.io:6379",
}


def environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in UNSET} | more


def manage(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    return subprocess.run(command, env=environment(**variables), capture_output=True, text=True, check=False)


@contextmanager
def demo(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the demo until the end of the block; yield its process and all it said up to its last line."""
    command = [sys.executable, "-u", "-m", "example_project.demo", *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    try:
        said = ""
        for line in process.stdout:
            said += line
            if "Quit the server" in line or "Starting development server" in line:
                break
        yield process, said
    finally:
        process.kill()
        process.communicate()


def browser() -> OpenerDirector:
    return build_opener(ProxyHandler({}), HTTPCookieProcessor(CookieJar()))


def address(said: str, name: str) -> str:
    found = re.search(rf"^{name} +(http://\S+)", said, re.MULTILINE)
    assert found, said
    return found[1]


def test_check__finds_nothing() -> None:
    assert manage("check", "--fail-level", "WARNING").returncode == 0


def test_check_deploy__finds_nothing_in_public_settings() -> None:
    checked = manage("check", "--deploy", "--fail-level", "WARNING", **PUBLIC)
    assert checked.returncode == 0, checked.stderr


def test_settings__ask_for_a_secret_key_in_public() -> None:
    checked = manage("check", **{**PUBLIC, "DJANGO_SECRET_KEY": ""})
    assert "DJANGO_SECRET_KEY is not set" in checked.stderr


def test_makemigrations__has_nothing_to_make() -> None:
    made = manage("makemigrations", "--check", "--dry-run")
    assert made.returncode == 0, made.stdout


def test_demo__shows_both_routes_and_ends_clean() -> None:
    with demo() as (process, said):
        site, rest = address(said, "Site"), address(said, "REST")
        visit = browser()
        page = visit.open(site).read().decode()
        assert 'id="side-default"' in page
        assert 'id="side-rest"' in page

        written = write_note(visit, site, page, over="default")
        assert written.count("<dd>written over default</dd>") == 2
        assert write_note(visit, site, written, over="rest").count("<dd>written over rest</dd>") == 2
        assert visit.open(f"{site}async/").read().count(b" ms</td>") == 4

        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == 0
        for url in (site, rest):
            with pytest.raises(OSError, match="refused"):
                connect(url)


def write_note(visit: OpenerDirector, site: str, page: str, over: str) -> str:
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token
    form = {"csrfmiddlewaretoken": token[1], "text": f"written over {over}", "over": over}
    return str(visit.open(site, urlencode(form).encode()).read().decode())


def connect(url: str) -> None:
    host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
    socket.create_connection((host, int(port)), timeout=5).close()


def test_demo__names_a_port_that_is_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with demo("--port", str(port)) as (process, said):
            assert process.wait(timeout=20) == 1
            assert f"Port {port} of 127.0.0.1 cannot be used." in said


def test_site__shows_one_route_where_the_other_is_not_configured(valkey: Server) -> None:
    code = (
        "import django; django.setup()\n"
        "from django.test import Client\n"
        "print(Client(headers={'host': 'localhost'}).get('/').content.decode())\n"
    )
    variables = environment(DJANGO_SETTINGS_MODULE="example_project.settings", REDIS_URL=valkey.url)
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=variables, capture_output=True, text=True, check=True
    )

    assert 'id="side-default"' in ran.stdout
    assert 'id="side-rest"' not in ran.stdout
    assert "UPSTASH_REDIS_REST_URL" in ran.stdout
