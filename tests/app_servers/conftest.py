from __future__ import annotations

import re
from typing import Any

import pytest

from tests.servers import Server

ROUTES = ("native", "rest")


@pytest.fixture(params=ROUTES)
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def variables(upstash: dict[str, dict[str, Any]], route: str) -> dict[str, str]:
    """The environment by which ``site.py`` finds the server of a route."""
    return {name: str(upstash[route][name]) for name in ("URL", "TOKEN") if name in upstash[route]}


def total(valkey: Server, name: str) -> int:
    """Return what processes have written of a tenant's usage under a name."""
    keys = [key for key in valkey.call("KEYS", "usage:{acme}:*") if b":from:" not in key]
    return sum(int(valkey.call("HGET", key, name) or 0) for key in keys)


def statistics(valkey: Server) -> int:
    """Return how many decisions processes have written of in the statistics of the site's limit."""
    texts = [valkey.call("GET", key).decode() for key in valkey.call("KEYS", "*stats*")]
    return sum(int(count) for text in texts for count in re.findall(r"^allowed/site (\d+)$", text, re.MULTILINE))
