"""The benchmark of throttling runs, and reports its goals; what the times are is nobody's business here."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks.throttling import DRF, FLAT, GOALS, LIMITS, rows

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the benchmark reads other processes' clocks")
def test_throttling__reports_its_goals() -> None:
    command = [sys.executable, "-W", "error", "-m", "benchmarks.throttling", "--quick", "--only", "1000/day, "]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert ran.returncode == 0, ran.stderr
    reported = json.loads(ran.stdout)["rows"]

    assert [row["name"] for row in reported] == [name for name, _ in rows() if name.startswith("1000/day, ")]
    goals = {(row["name"], found["peer"]): found["goal"] for row in reported for found in goals_of(row)}
    peers = {DRF, LIMITS} if find_spec("limits") else {DRF}
    assert goals == {goal: GOALS[goal] for goal in GOALS if goal[0].startswith("1000/day, ") and goal[1] in peers}


def test_throttling__measures_each_rate_at_each_distance() -> None:
    names = [name for name, _ in rows()]
    rates = ("60/min", "1000/day", "10000/day", "three at once")
    distances = ("loopback", "with 5 ms", "REST", "REST with 5 ms")
    assert names == [*[f"{rate}, {distance}" for distance in distances for rate in rates], FLAT]
    assert {name for name, _ in GOALS} < set(names)


def goals_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [found for found in row["comparisons"] if "goal" in found]
