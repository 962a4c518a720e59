"""What a process has counted, as OpenMetrics text."""

from __future__ import annotations

import re

import pytest

from django_upstash.breaker import CircuitOpen
from django_upstash.observability.metrics import openmetrics
from tests.breaker.conftest import Failure, MakeBreaker, fail, succeed


def test_openmetrics__of_breakers(make_breaker: MakeBreaker, route: str) -> None:
    breaker = make_breaker('the "best"\n', failure_threshold=2)
    breaker.call(succeed)
    for error in (Failure, Failure, CircuitOpen):
        with pytest.raises(error):
            breaker.call(fail)
    labels = rf'{{alias="{route}",breaker="the \"best\"\n"}}'
    lines = openmetrics().splitlines()
    for name, value in (("calls", 3), ("failures", 2), ("refusals", 1), ("opens", 1)):
        assert f"django_upstash_breaker_{name}_total{labels} {value}" in lines
    (opened_at,) = [
        line for line in lines if line.startswith("django_upstash_breaker_opened_timestamp_seconds" + labels)
    ]
    assert float(opened_at.split()[-1]) == breaker.stats.opened_at
    assert lines[-1] == "# EOF"
    assert len(re.findall("^# TYPE django_upstash_breaker_", "\n".join(lines), re.MULTILINE)) == 5


def test_openmetrics__of_a_process_without_breakers(make_breaker: MakeBreaker) -> None:
    make_breaker()
    assert 'breaker="stripe"' not in openmetrics()
