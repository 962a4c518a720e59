"""Where there is no fork and no ``fcntl``, as on Windows, both routes work, and ``embedded://`` says what it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PREAMBLE = """
import importlib.abc, json, os, select, sys
# These take what they find.
import asyncio, concurrent.futures, multiprocessing, random, subprocess, tempfile, threading
for name in ("fork", "register_at_fork", "geteuid", "getuid"):
    delattr(os, name)
del select.poll
GONE = {"fcntl", "grp", "pwd", "resource", "termios"}
for name in GONE:
    sys.modules.pop(name, None)
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in GONE:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
import django
from django.conf import settings
settings.configure(
    DEBUG=True,
    INSTALLED_APPS=[
        *(f"django.contrib.{name}" for name in ("admin", "auth", "contenttypes", "messages", "sessions")),
        "django_upstash",
    ],
    SECRET_KEY="x",
    UPSTASH=json.loads(sys.argv[1]),
)
django.setup()
"""
USE = """
from django_upstash.connections import connections
from django_upstash.operations import command
from django_upstash.locks import Lock
from django_upstash.pubsub import publish, subscribe
from django_upstash.ratelimit import FixedWindow, RateLimiter
from django_upstash.tenants import Tenant
from django_upstash import tenants, breaker, idempotency, queues, health

async def main(connection):
    return [await connection.arun(command("ECHO", str(number))) for number in range(20)]

for alias in ("native", "rest"):
    connection = connections[alias]
    assert connection.run(command("ECHO", "hello")) == b"hello"
    assert asyncio.run(main(connection))[-1] == b"19"
    with Lock("job", alias=alias):
        pass
    assert RateLimiter(FixedWindow("9/h"), alias=alias).hit("me").allowed
"""
EMBEDDED = """
from django_upstash.connections import connections
try:
    connections["embedded"].ping()
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""


def run(code: str, upstash: dict[str, Any]) -> str:
    command = [sys.executable, "-W", "error", "-c", PREAMBLE + code, json.dumps(upstash)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_routes__without_fork(upstash: dict[str, dict[str, Any]]) -> None:
    run(USE, {name: upstash[name] for name in ("native", "rest")})


def test_embedded__says_what_it_needs() -> None:
    said = run(EMBEDDED, {"embedded": {"URL": "embedded://"}})
    assert said == (
        "ImproperlyConfigured: UPSTASH['embedded'] is embedded://, which needs a Unix system, such as Linux, macOS or "
        "WSL: name a server in its URL.\n"
    )


def test_every_module__can_be_imported() -> None:
    run(
        """
import pkgutil, importlib, django_upstash
OPTIONAL = {"django_upstash.tasks", "django_upstash.throttling", "django_upstash.wire.embedded_supervisor"}
for module in pkgutil.walk_packages(django_upstash.__path__, "django_upstash.", onerror=lambda name: None):
    if not any(module.name == name or module.name.startswith(f"{name}.") for name in OPTIONAL):
        importlib.import_module(module.name)
""",
        {"default": {"URL": "redis://localhost"}},
    )
