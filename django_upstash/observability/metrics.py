"""
The counts of this process' connections and circuit breakers as OpenMetrics text, and a view that serves a scraper.

    path("metrics/", django_upstash.observability.metrics.metrics)
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string
from django.views.decorators.http import require_safe

from django_upstash.connections import connections
from django_upstash.features import features
from django_upstash.wire.meter import BOUNDS, MeterReading

__all__ = ["metrics", "openmetrics"]

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


def openmetrics() -> str:
    """Return what this process has counted: by connection, equal aliases summed, and by circuit breaker."""
    readings: dict[str, list[MeterReading]] = {}
    for connection in connections.opened():
        readings.setdefault(connection.settings.alias, []).append(connection.meter.read())
    return "".join(f"{line}\n" for line in _lines(readings))


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Serve ``openmetrics()``. It holds no secret, yet whom to show it to is for the site to say."""
    return HttpResponse(openmetrics(), content_type=CONTENT_TYPE)


def _lines(readings: dict[str, list[MeterReading]]) -> Iterator[str]:
    for name, text, field in _COUNTERS:
        yield f"# TYPE django_upstash_{name} counter"
        yield f"# HELP django_upstash_{name} {text}"
        for alias, found in readings.items():
            total = sum(getattr(reading, field) for reading in found)
            yield f"django_upstash_{name}_total{{{label(alias)}}} {total}"
    name = "django_upstash_request_seconds"
    yield f"# TYPE {name} histogram"
    yield f"# UNIT {name} seconds"
    yield f"# HELP {name} Time of a round trip."
    for alias, found in readings.items():
        yield from _histogram(name, label(alias), found)
    for feature in features():
        if feature.metrics:
            yield from import_string(feature.metrics)()
    yield "# EOF"


def _histogram(name: str, label: str, readings: list[MeterReading]) -> Iterator[str]:
    cumulative = list(accumulate(map(sum, zip(*(reading.latencies for reading in readings), strict=True))))
    for bound, count in list(zip(BOUNDS, cumulative, strict=False))[::_SHOWN]:
        yield f'{name}_bucket{{{label},le="{bound:g}"}} {count}'
    yield f'{name}_bucket{{{label},le="+Inf"}} {cumulative[-1]}'
    yield f"{name}_sum{{{label}}} {sum(reading.seconds for reading in readings):.6f}"
    yield f"{name}_count{{{label}}} {cumulative[-1]}"


def label(alias: str) -> str:
    """Return the label of a connection."""
    return f'alias="{escaped(alias)}"'


def escaped(text: str) -> str:
    """Return a text as the value of a label."""
    plain = text.encode("utf-8", "backslashreplace").decode()
    return plain.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
