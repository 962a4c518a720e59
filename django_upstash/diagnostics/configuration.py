"""What the system checks say about one connection, as lines of its report."""

from __future__ import annotations

from collections.abc import Iterator

from django.core.checks import ERROR, CheckMessage
from django.utils.module_loading import import_string

from django_upstash.diagnostics.report import CheckResult, Status
from django_upstash.features import features
from django_upstash.settings import cache_location, checks, conf

# The checks of the encryption and of eviction, which know the connection and have asked the server, have said these.
_SAID = frozenset({"django_upstash.W006", "django_upstash.W007", "django_upstash.W009"})


def mistakes(alias: str) -> list[CheckResult]:
    """Return what is wrong with the settings of a connection."""
    return [_result(message) for message in _about(alias, checks.check_connections()) if message.is_serious()]


def warnings(alias: str, *, is_deployed: bool) -> list[CheckResult]:
    """Return what the checks say about a usable connection and the caches on it."""
    messages = checks.check_connections()
    for check in (check for feature in features() for check in feature.checks):
        if is_deployed or not check.deploy:
            messages += import_string(check.function)()
    if is_deployed:
        messages += checks.check_deployment()
    return [_result(message) for message in _about(alias, messages) if message.id not in _SAID]


def _about(alias: str, messages: list[CheckMessage]) -> Iterator[CheckMessage]:
    places = tuple(_places(alias))
    return (message for message in messages if message.msg.startswith(places))


def _places(alias: str) -> Iterator[str]:
    """Yield how the checks' messages about a connection begin."""
    yield f"UPSTASH[{alias!r}]"
    for cache, entry in conf.caches().items():
        if cache_location.single(entry.get("LOCATION")) == alias:
            yield f"CACHES[{cache!r}]"


def _result(message: CheckMessage) -> CheckResult:
    status = Status.FAIL if message.level >= ERROR else Status.WARN
    return CheckResult(
        name="settings", status=status, message=message.msg, next_step=message.hint or "", id=str(message.id)
    )
