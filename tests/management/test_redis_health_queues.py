"""``redis_health queues``."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from django_upstash.queues import Message, Queue
from tests.management.calls import failing_health, health

aliases = pytest.mark.parametrize("alias", ["native", "rest"])


@pytest.fixture
def filled(upstash: dict[str, dict[str, Any]]) -> None:
    mail = Queue("mail", alias="native", visibility=3600)
    mail.enqueue_many([1, 2, 3, Message(4, delay=600), Message(5, id="five", priority=-1)])
    mail.reserve(2)
    Queue("a:b %", alias="native").enqueue(1)
    dead = Queue("dead", alias="native")
    dead.enqueue(1)
    dead.bury(dead.reserve()[0])


@aliases
@pytest.mark.usefixtures("filled")
def test_queues__shows_what_is_in_them(alias: str) -> None:
    lines = health("queues", alias).splitlines()
    assert re.match(rf"3 queues on {alias} \(\d+ requests, ", lines[0])
    rows = {tuple(re.split(r"  +", line.strip())[:5]) for line in lines[2:]}
    assert rows == {("mail", "2", "2", "1", "0"), ("a:b %", "1", "0", "0", "0"), ("dead", "0", "0", "0", "1")}


@aliases
@pytest.mark.usefixtures("filled")
def test_queues__speaks_json_of_those_named(alias: str) -> None:
    said = json.loads(health("queues", alias, "--json", name=["mail", "empty"]))
    mail, empty = said["queues"]
    assert 0 <= mail.pop("oldest_seconds") < 60
    assert mail == {"name": "mail", "ready": 2, "in_flight": 2, "delayed": 1, "dead": 0}
    assert (empty["name"], empty["ready"], empty["oldest_seconds"]) == ("empty", 0, None)
    assert said["requests"] <= 4


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(["--limit", "0"], "--limit must be from 1"), (["--name", ""], "--name must be of 1")],
)
@pytest.mark.usefixtures("filled")
def test_queues__says_what_makes_no_sense(arguments: list[str], sentence: str) -> None:
    _, message, _ = failing_health("queues", "native", *arguments)
    assert sentence in message


@pytest.mark.usefixtures("upstash")
def test_queues__of_an_empty_database() -> None:
    assert health("queues", "native").startswith("0 queues on native")
