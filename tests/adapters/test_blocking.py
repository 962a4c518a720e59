"""Which commands block, and for how long."""

from __future__ import annotations

from typing import Any

import pytest

from django_upstash.adapters import blocking

pytestmark = pytest.mark.matrix


@pytest.mark.parametrize(
    ("command", "seconds", "instead"),
    [
        (("BLPOP", "a", "b", "1.5"), 1.5, "LPOP"),
        ((b"brpop", b"a", 2), 2.0, "RPOP"),
        (("BLPOP", "a", 0), None, "LPOP"),
        (("BRPOPLPUSH", "a", "b", b"3"), 3.0, "RPOPLPUSH"),
        (("BLMOVE", "a", "b", "LEFT", "RIGHT", 4), 4.0, "LMOVE"),
        (("BZPOPMIN", "a", "nonsense"), 0.0, "ZPOPMIN"),
        (("BLMPOP", 5, 1, "a", "LEFT"), 5.0, "LMPOP"),
        (("BZMPOP", "0", 1, "a", "MIN"), None, "ZMPOP"),
        (("XREAD", "COUNT", 2, "BLOCK", 1500, "STREAMS", "s", "$"), 1.5, "XREAD without BLOCK"),
        (("XREAD", b"block", b"0", b"STREAMS", "s", "$"), None, "XREAD without BLOCK"),
        (("XREADGROUP", "GROUP", "block", "c", "BLOCK", 10, "STREAMS", "s", ">"), 0.01, "XREADGROUP without BLOCK"),
    ],
)
def test_blocking_commands(command: Any, seconds: float | None, instead: str) -> None:
    assert blocking.is_blocking(command)
    assert blocking.seconds(command) == seconds
    assert blocking.without_waiting(command) == instead


@pytest.mark.parametrize(
    "command",
    [
        ("LPOP", "BLPOP"),
        ("XREAD", "STREAMS", "BLOCK", "0"),
        ("XREAD", "COUNT", "2", "STREAMS", "s", "0"),
        ("XREADGROUP", "GROUP", "g", "block", "STREAMS", "s", ">"),
        ("XREAD",),
        ("XREAD", "BLOCK"),
    ],
)
def test_other_commands(command: Any) -> None:
    assert not blocking.is_blocking(command)
