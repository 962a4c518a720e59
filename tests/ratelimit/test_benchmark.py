"""The benchmark of throttling runs, and reports its goals; what the times are is nobody's business here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.skipif(sys.platform != "linux", reason="the benchmark reads other processes' clocks")
def test_throttling__reports_its_goals() -> None:
    command = [sys.executable, "-W", "error", "-m", "benchmarks.throttling", "--quick", "--only", "1000/day, loopback"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert ran.returncode == 0, ran.stderr
    (row,) = json.loads(ran.stdout)["rows"]
    assert row["name"] == "1000/day, loopback"
    goals = {found["peer"]: found["goal"] for found in row["comparisons"] if "goal" in found}
    assert goals["DRF on django-redis"] == 3
