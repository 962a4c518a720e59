"""The benchmark runs, and reports all it is meant to; what the times are is nobody's business here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.goals import GOALS
from benchmarks.peers import TASKS
from benchmarks.sessions import GOALS as SESSION_GOALS

ROOT = Path(__file__).resolve().parent.parent
ROWS = {
    *[f"native {task.name}" for task in TASKS],
    "native 16 threads",
    "native get of a cache made for a request",
    "native aget 100 B",
    "native 100 gathered aget",
    "REST get 100 B",
    "REST get 100 KB",
    "REST pipeline(100) 100 B",
    "REST 100 gathered aget",
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the benchmark reads other processes' clocks"),
]


def benchmark(*arguments: str, module: str = "benchmarks.cache") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", module, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def goals_of(row: Mapping[str, Any]) -> dict[tuple[str, str, str], float]:
    compared = row["comparisons"]
    return {(row["name"], found["ours"], found["peer"]): found["goal"] for found in compared if "goal" in found}


def test_cache__reports_every_row_goal_and_count() -> None:
    ran = benchmark("--quick")
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)

    assert {row["name"] for row in report["rows"]} == ROWS
    assert {goal: number for row in report["rows"] for goal, number in goals_of(row).items()} == GOALS
    times = [time for row in report["rows"] for timing in row["microseconds"].values() for time in timing.values()]
    assert min(times) > 0
    for route in ("native", "rest"):
        assert report["counts"][route]["100 gathered aget"]["requests"] == 1
        assert report["counts"][route]["get"] == {"requests": 1, "commands": 1}
    assert report["counts"]["native, new connection with a password"] == {
        "requests": 2,
        "commands": {"auth": 1, "get": 1},
    }
    assert str(ROOT) not in ran.stdout


def test_cache__runs_only_the_named_rows() -> None:
    report = json.loads(benchmark("--quick", "--rounds", "1", "--only", "NATIVE TOUCH").stdout)

    assert [(row["name"], row["rounds"]) for row in report["rows"]] == [("native touch", 1)]
    assert "counts" not in report


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--rounds", "0"], "'0' is not a number of rounds, 1 or more"),
        (["--rounds", "many"], "'many' is not a number of rounds, 1 or more"),
        (["--only", "hgetall"], "no row's name contains 'hgetall'"),
    ],
)
def test_cache__says_what_is_wrong_with_its_arguments(arguments: list[str], sentence: str) -> None:
    ran = benchmark(*arguments)

    assert (ran.returncode, ran.stdout) == (2, "")
    assert sentence in ran.stderr
    assert "Traceback" not in ran.stderr


def test_sessions__reports_every_goal() -> None:
    ran = benchmark("--quick", module="benchmarks.sessions")
    assert ran.returncode == 0, ran.stderr
    rows = json.loads(ran.stdout)["rows"]

    goals = {row["name"]: found["goal"] for row in rows for found in row["comparisons"] if "goal" in found}
    assert goals == SESSION_GOALS
    assert {len(row["microseconds"]) for row in rows} == {3}


def test_bulk__reports_the_goal() -> None:
    ran = benchmark("--keys", "1000", module="benchmarks.bulk")
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)

    assert (report["keys"], report["matches"]) == (1000, 10)
    assert set(report["delete_pattern"]["seconds"]) == {"ours", "django-redis"}
    assert report["delete_pattern"]["goal"] == 10
