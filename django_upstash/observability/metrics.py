"""
The counts of this process' connections and circuit breakers as OpenMetrics text, and a view that serves a scraper.

    path("metrics/", django_upstash.observability.metrics.metrics)
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from django_upstash.breaker.circuit import Circuit
from django_upstash.breaker.registry import boards
from django_upstash.connections import connections
from django_upstash.wire.meter import BOUNDS, Reading

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_SHOWN = 4  # each fourth bound: about a doubling
_COUNTERS = (
    ("cache_hits", "Keys whose values a cache gave.", "hits"),
    ("cache_misses", "Keys whose values a cache did not have.", "misses"),
    ("requests", "Round trips asked for.", "requests"),
    ("commands", "Commands billed, but for those that scripts run inside.", "commands"),
    ("scripts", "Script calls among the commands.", "scripts"),
    ("errors", "Round trips that failed.", "errors"),
    ("sent_bytes", "Bytes sent, within TLS.", "bytes_sent"),
    ("received_bytes", "Bytes received, within TLS.", "bytes_received"),
)
_OF_BREAKERS = (
    ("calls", "counter", "Calls that were let through and have ended.", "calls"),
    ("failures", "counter", "Calls that have failed.", "failures"),
    ("refusals", "counter", "Calls that were refused.", "refusals"),
    ("opens", "counter", "Openings that calls of this process have brought about.", "opens"),
    ("opened_timestamp_seconds", "gauge", "The last opening that this process knows of.", "opened_at"),
)


def openmetrics() -> str:
    """Return what this process has counted: by connection, equal aliases summed, and by circuit breaker."""
    readings: dict[str, list[Reading]] = {}
    for connection in connections.opened():
        readings.setdefault(connection.settings.alias, []).append(connection.meter.read())
    return "".join(f"{line}\n" for line in _lines(readings))


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Serve ``openmetrics()``. It holds no secret, yet whom to show it to is for the site to say."""
    return HttpResponse(openmetrics(), content_type=CONTENT_TYPE)


def _lines(readings: dict[str, list[Reading]]) -> Iterator[str]:
    for name, text, field in _COUNTERS:
        yield f"# TYPE django_upstash_{name} counter"
        yield f"# HELP django_upstash_{name} {text}"
        for alias, found in readings.items():
            total = sum(getattr(reading, field) for reading in found)
            yield f"django_upstash_{name}_total{{{_label(alias)}}} {total}"
    name = "django_upstash_request_seconds"
    yield f"# TYPE {name} histogram"
    yield f"# UNIT {name} seconds"
    yield f"# HELP {name} Time of a round trip."
    for alias, found in readings.items():
        yield from _histogram(name, _label(alias), found)
    yield from _breaker_lines([(alias, circuit) for alias, board in boards() for circuit in board.circuits()])
    yield "# EOF"


def _breaker_lines(circuits: list[tuple[str, Circuit]]) -> Iterator[str]:
    read = [(f'{_label(alias)},breaker="{_escaped(circuit.name)}"', circuit.stats) for alias, circuit in circuits]
    for name, kind, text, field in _OF_BREAKERS if read else ():
        name = f"django_upstash_breaker_{name}"
        yield f"# TYPE {name} {kind}"
        yield f"# HELP {name} {text}"
        for labels, stats in read:
            if (value := getattr(stats, field)) is not None:
                yield f"{name}{'_total' if kind == 'counter' else ''}{{{labels}}} {value}"


def _histogram(name: str, label: str, readings: list[Reading]) -> Iterator[str]:
    cumulative = list(accumulate(map(sum, zip(*(reading.latencies for reading in readings), strict=True))))
    for bound, count in list(zip(BOUNDS, cumulative, strict=False))[::_SHOWN]:
        yield f'{name}_bucket{{{label},le="{bound:g}"}} {count}'
    yield f'{name}_bucket{{{label},le="+Inf"}} {cumulative[-1]}'
    yield f"{name}_sum{{{label}}} {sum(reading.seconds for reading in readings):.6f}"
    yield f"{name}_count{{{label}}} {cumulative[-1]}"


def _label(alias: str) -> str:
    return f'alias="{_escaped(alias)}"'


def _escaped(text: str) -> str:
    plain = text.encode("utf-8", "backslashreplace").decode()
    return plain.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
