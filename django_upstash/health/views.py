"""The views. GET and HEAD, never cached, and with nothing in them that a stranger must not see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from inspect import isawaitable
from time import monotonic
from typing import Any, TypeVar

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from django_upstash import callbacks
from django_upstash.health.probes import HealthProbe, ProbeAnswer, probe_of
from django_upstash.settings import conf

__all__ = ["areadiness", "readiness"]

# Kubernetes waits one second for a probe, unless told otherwise.
TIMEOUT = 0.8
MAX_AGE = 1.0

View = TypeVar("View", bound=Callable[..., Any])
# Who is shown versions, times and causes: nobody, everybody, or whom the function says.
Details = bool | Callable[[HttpRequest], Any]


def _probed(view: View) -> View:
    return login_not_required(never_cache(require_safe(view)))


@_probed
def liveness(request: HttpRequest) -> HttpResponse:
    """Answer 200: this process serves requests. Asks nobody, for a restart mends no other server."""
    return JsonResponse({"status": "ok"})


@_probed
async def aliveness(request: HttpRequest) -> HttpResponse:
    """Like ``liveness``, without a thread."""
    return JsonResponse({"status": "ok"})


@_probed
def readiness(
    request: HttpRequest,
    aliases: Iterable[str] | None = None,
    timeout: float = TIMEOUT,
    max_age: float = MAX_AGE,
    details: Details = False,
) -> HttpResponse:
    """
    Answer 200 where the connections of these ``aliases`` answer, of all where it is None; else 503.

    One command for each, which may take ``timeout`` seconds; who asks again within ``max_age`` seconds is told the
    same, and nothing is sent. ``details``, or what it says of the request, adds versions, times and causes.
    """
    shown = _truth(callbacks.call("details", details, request) if callable(details) else details)
    probes = _probes(aliases, timeout, max_age, shown)
    until = monotonic() + timeout
    return _response({alias: probe.answer(until) for alias, probe in probes.items()}, shown)


@_probed
async def areadiness(
    request: HttpRequest,
    aliases: Iterable[str] | None = None,
    timeout: float = TIMEOUT,
    max_age: float = MAX_AGE,
    details: Details = False,
) -> HttpResponse:
    """Like ``readiness``, without a thread of those that views share; ``details`` may be a coroutine function."""
    shown = details(request) if callable(details) else details
    shown = _truth(await shown if isawaitable(shown) else shown)
    probes = _probes(aliases, timeout, max_age, shown)
    until = monotonic() + timeout
    return _response({alias: await probe.aanswer(until) for alias, probe in probes.items()}, shown)


def _truth(shown: Any) -> bool:
    return callbacks.truth("details", shown)


def _probes(aliases: Iterable[str] | None, timeout: float, max_age: float, details: bool) -> Mapping[str, HealthProbe]:
    named = conf.aliases() if aliases is None else aliases
    probes = {alias: probe_of(conf.connection_settings(alias), timeout, details=details) for alias in named}
    for probe in probes.values():
        probe.start(max_age)  # all at once
    return probes


def _response(answers: Mapping[str, ProbeAnswer], details: bool) -> HttpResponse:
    is_ready = all(answer.is_ok for answer in answers.values())
    document = {
        "status": "ok" if is_ready else "unavailable",
        "connections": {alias: answer.as_json(details=details) for alias, answer in answers.items()},
    }
    return JsonResponse(document, status=200 if is_ready else 503)
