"""What the options of a task backend may say, on every Django."""

from __future__ import annotations

from typing import Any

import pytest

from django_upstash.tasks import settings
from django_upstash.tasks.settings import TaskSettings

WHERE = 'TASKS["default"]["OPTIONS"]'


def ids(options: Any) -> list[str]:
    return [mistake.id for mistake in settings.SCHEMA.mistakes(options, WHERE)]


def test_typed__takes_upper_case_names() -> None:
    options = {"ALIAS": "rest", "VISIBILITY": 5, "RETRIES": 2}
    assert ids(options) == []
    assert settings.SCHEMA.typed(options) == TaskSettings(alias="rest", visibility=5, retries=2)
    assert ids({}) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["E461"]),
        ({"VISIBLITY": 5}, ["E462"]),
        ({"alias": "default"}, ["E462"]),
        ({7: 1}, ["E462"]),
        ({"ALIAS": 1}, ["E463"]),
        ({"PREFIX": ""}, ["E463"]),
        ({"VISIBILITY": True}, ["E464"]),
        ({"VISIBILITY": float("nan")}, ["E464"]),
        ({"RESULT_TTL": "1"}, ["E464"]),
        ({"LONGEST_POLL": 0}, ["E464"]),
        ({"MAX_ATTEMPTS": 0}, ["E465"]),
        ({"MAX_ATTEMPTS": 2.0}, ["E465"]),
        ({"RETRIES": -1}, ["E465"]),
        ({"RETRIES": 5}, ["E466"]),
        ({"RETRIES": 5, "MAX_ATTEMPTS": 6}, []),
    ],
)
def test_mistakes__each_has_its_id(options: Any, expected: list[str]) -> None:
    assert ids(options) == expected


def test_mistakes__suggest_the_key_meant() -> None:
    (mistake,) = settings.SCHEMA.mistakes({"VISIBLITY": 5}, WHERE)
    assert mistake.hint.startswith("Did you mean VISIBILITY? Known are ALIAS, ")
