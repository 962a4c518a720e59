"""What `runserver` shows of the environment on its debug page: docs/settings.md says that it does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

import pytest

from tests.secrets.planted import PASSWORD, PROXY_PASSWORD

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
SITE = """
import sys
import django
from django.conf import settings
from django.core.management import call_command
from django.urls import path

def fail(request):
    raise ValueError("a mistake")

urlpatterns = [path("", fail)]
settings.configure(DEBUG=True, SECRET_KEY="x", ROOT_URLCONF="__main__")
django.setup()
call_command("runserver", f"127.0.0.1:{sys.argv[1]}", use_reloader=False, skip_checks=True)
"""


def test_runserver__shows_the_environment_and_hides_what_is_named_a_token(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "UPSTASH_"))},
        "REDIS_URL": f"redis://default:{PASSWORD.quoted}@127.0.0.1:1",
        "SHOP_REDIS_TOKEN": PROXY_PASSWORD.text,
    }
    command = [sys.executable, "-c", SITE, str(port)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            page = failing_page(f"http://127.0.0.1:{port}/", process)
        finally:
            process.kill()
            process.wait()
    assert PASSWORD.core in page
    assert PROXY_PASSWORD.core not in page


def failing_page(url: str, process: subprocess.Popen[bytes]) -> str:
    """Return the page of an error, once the server listens."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            build_opener(ProxyHandler({})).open(url)
        except HTTPError as error:
            with error:
                return error.read().decode()
        except URLError:
            time.sleep(0.1)
    raise RuntimeError("The server did not answer with an error.")
