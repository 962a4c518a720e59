"""The counts of this process' circuit breakers as lines of OpenMetrics."""

from __future__ import annotations

from collections.abc import Iterator

from django_upstash.breaker.registry import boards
from django_upstash.observability.metrics import escaped, label

_METRICS = (
    ("calls", "counter", "Calls that were let through and have ended.", "calls"),
    ("failures", "counter", "Calls that have failed.", "failures"),
    ("refusals", "counter", "Calls that were refused.", "refusals"),
    ("opens", "counter", "Openings that calls of this process have brought about.", "opens"),
    ("opened_timestamp_seconds", "gauge", "The last opening that this process knows of.", "opened_at"),
)


def lines() -> Iterator[str]:
    """Yield what this process has counted of its circuit breakers."""
    circuits = [(alias, circuit) for alias, board in boards() for circuit in board.circuits()]
    read = [(f'{label(alias)},breaker="{escaped(circuit.name)}"', circuit.stats) for alias, circuit in circuits]
    for name, kind, text, field in _METRICS if read else ():
        name = f"django_upstash_breaker_{name}"
        yield f"# TYPE {name} {kind}"
        yield f"# HELP {name} {text}"
        for labels, stats in read:
            if (value := getattr(stats, field)) is not None:
                yield f"{name}{'_total' if kind == 'counter' else ''}{{{labels}}} {value}"
