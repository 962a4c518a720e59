"""``redis_health breakers``."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from django_upstash.breaker import CircuitBreaker
from tests.management.calls import failing_health, health

aliases = pytest.mark.parametrize("alias", ["native", "rest"])


@pytest.fixture(autouse=True)
def filled(upstash: dict[str, dict[str, Any]], settings: Any) -> None:
    del upstash["embedded"]
    settings.UPSTASH_BREAKER = {"ALIAS": "native", "REDIS_TIMEOUT": 20}
    breaker = CircuitBreaker("stripe", failure_threshold=1, timeout=3600)
    with pytest.raises(ZeroDivisionError), breaker:
        raise ZeroDivisionError
    CircuitBreaker("mail: outgoing").force_close(5430)
    CircuitBreaker("search\n").force_open()
    with CircuitBreaker("healthy"):
        pass


@aliases
def test_breakers__shows_how_they_stand(alias: str) -> None:
    first, _, *lines = health("breakers", alias).splitlines()
    used_here = alias == "native"
    assert re.fullmatch(rf"{3 + used_here} breakers on {alias} \(\d requests, \d commands\)", first)
    rows = [re.split(r"  +", line.strip()) for line in lines]
    if used_here:
        assert rows.pop(0) == ["healthy", "closed", "0", "-", "none due", "0 of 5", "-", "-"]
    assert [row[:3] for row in rows] == [
        ["mail: outgoing", "forced closed for 1 h 30 min", "0"],
        ["search\\n", "forced open", "0"],
        ["stripe", "open", "1"],
    ]
    assert [row[4] for row in rows[:2]] == ["none due"] * 2
    assert rows[2][4].startswith("in ")
    assert re.fullmatch(r"(\d+ (s|min) )+ago, \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", rows[2][3])
    assert rows[2][5:] == ["1 of 1", "ZeroDivisionError", ">= 0"]


@aliases
def test_breakers__speaks_json(alias: str) -> None:
    said = json.loads(health("breakers", alias, "--json"))
    assert (said["status"], said["alias"], said["commands"] >= 3) == ("ok", alias, True)
    *healthy, mail, search, stripe = said["breakers"]
    assert [(one["name"], one["is_recorded"]) for one in healthy] == [("healthy", False)] * (alias == "native")
    assert (stripe["error"], stripe["opened_by"], stripe["threshold"], stripe["refused"]) == (
        "ZeroDivisionError",
        1,
        1,
        0,
    )
    assert (mail["state"], search["forced_for"], stripe["opens"]) == ("forced_closed", None, 1)
    assert 3500 < stripe["next_probe"] <= 3600
    assert 5300 < mail["forced_for"] <= 5430


def test_breakers__of_the_setting_where_none_is_named(settings: Any) -> None:
    assert health("breakers").startswith("4 breakers on native")


def test_breakers__none(settings: Any) -> None:
    for name in ("stripe", "mail: outgoing", "search\n"):
        CircuitBreaker(name).release()
    assert {breaker["state"] for breaker in json.loads(health("breakers", "--json"))["breakers"]} == {"closed"}


def test_breakers__says_why_it_cannot(upstash: dict[str, dict[str, Any]], settings: Any) -> None:
    settings.UPSTASH = {"default": {"URL": "redis://127.0.0.1:1"}}
    settings.UPSTASH_BREAKER = {}
    code, message, _ = failing_health("breakers")
    assert code == 1
    assert message.startswith("default: ")


@aliases
def test_breakers__lists_those_that_never_opened(alias: str, settings: Any) -> None:
    settings.UPSTASH_BREAKER = {
        "ALIAS": alias,
        "BREAKERS": {"sms": {"FAILURE_THRESHOLD": 3}, "far": {"ALIAS": "native"}},
    }
    lines = [re.split(r"  +", line.strip()) for line in health("breakers", alias).splitlines()[2:]]
    assert ["sms", "closed", "0", "-", "none due", "0 of 3", "-", "-"] in lines
    assert (["far", "closed", "0", "-", "none due", "0 of 5", "-", "-"] in lines) is (alias == "native")
