"""Connections of one route each, for what the routes do differently."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from django_upstash.connections import Connection
from django_upstash.settings.conf import make_settings


@pytest.fixture
def native(upstash: dict[str, dict[str, Any]]) -> Iterator[Connection]:
    connection = Connection(make_settings("native", {**upstash["native"], "TIMEOUT": 2, "MAX_CONNECTIONS": 4}))
    yield connection
    connection.close()


@pytest.fixture
def rest(upstash: dict[str, dict[str, Any]]) -> Iterator[Connection]:
    connection = Connection(make_settings("rest", upstash["rest"]))
    yield connection
    connection.close()
