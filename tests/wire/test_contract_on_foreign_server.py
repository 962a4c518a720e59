"""
The contract of a route on a REST server whose integers pass through a double and that refuses raw bodies.

Two promises no client can keep there; what it does instead is at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from django_upstash import exceptions
from django_upstash.connections import Connection
from django_upstash.dev_server import LocalServer
from django_upstash.settings.conf import make_settings
from tests.rest_fronts import RestFront
from tests.wire.test_contract import *  # noqa: F403
from tests.wire.test_contract import Execute


@pytest.fixture(scope="module")
def front(local_server: LocalServer) -> Iterator[RestFront]:
    with RestFront(local_server, rounds_integers=True, refuses_raw_bodies=True) as front:
        yield front


@pytest.fixture
def connection(front: RestFront, upstash: dict[str, dict[str, Any]]) -> Iterator[Connection]:
    connection = Connection(make_settings("rest", front.settings))
    yield connection
    connection.close()


def test_execute__integers_of_64_bits(execute: Execute) -> None:  # type: ignore[no-redef]
    reply, text = execute([("INCRBY", "n", 2**63 - 1), ("GET", "n")])
    assert reply == pytest.approx(2**63 - 1)
    assert text == b"9223372036854775807"


def test_execute__one_argument_of_raw_bytes(execute: Execute) -> None:  # type: ignore[no-redef]
    with pytest.raises(exceptions.DataError, match="takes no raw bodies"):
        execute([("SET", "k", bytes(range(256)))])
    assert execute([("EXISTS", "k")]) == [0]
