"""``redis_health breakers``: the circuit breakers that have opened, that are forced, or that settings name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from time import time

from django_upstash.breaker.report import BreakerStatus, read_breakers
from django_upstash.breaker.settings import breaker_setting
from django_upstash.diagnostics.formatting import counted, duration, escaped, table
from django_upstash.diagnostics.sections.section import DatabaseSection, Looking, Options


class BreakersSection(DatabaseSection):
    """Shows the states of circuits, which all processes share."""

    name = "breakers"
    help = "Show the circuit breakers that settings name, and those that have opened or been forced within a week."

    without_alias = "the one of UPSTASH_BREAKER"

    def alias(self) -> str | None:
        alias: str | None = breaker_setting().get("ALIAS")
        return alias

    def look(self, looking: Looking, options: Options) -> None:
        found = read_breakers(looking.connection)
        stored = [breaker.as_dict() for breaker in found]
        looking.show({"breakers": stored}, _lines(looking, found), feature="breakers")


def _lines(looking: Looking, found: Sequence[BreakerStatus]) -> Iterator[str]:
    yield f"{counted(len(found), 'breaker')} on {looking.alias} ({looking.cost})"
    if found:
        headings = ("BREAKER", "STATE", "OPENS", "LAST OPENED", "NEXT PROBE", "FAILURES", "LAST ERROR", "REFUSED")
        yield from (f"  {line}" for line in table([headings, *map(_row, found)], left=2))


def _row(breaker: BreakerStatus) -> tuple[str, ...]:
    state = breaker.state.replace("_", " ")
    if breaker.forced_for is not None:
        state = f"{state} for {duration(breaker.forced_for)}"
    probe = "none due" if breaker.next_probe is None else _until(breaker.next_probe)
    opened = _moment(breaker.opened_at)
    refused = f">= {breaker.refused:,}" if breaker.refused or breaker.next_probe is not None else "-"
    why = _failures(breaker), escaped(breaker.error) or "-", refused
    return escaped(breaker.name), state, f"{breaker.opens:,}", opened, probe, *why


def _until(seconds: float) -> str:
    return f"in {duration(seconds)}" if seconds else "now"


def _failures(breaker: BreakerStatus) -> str:
    """Return the failures in a row, or of an open one those that have opened it, and how many open it."""
    is_failing = breaker.next_probe is not None and breaker.opened_by is not None
    count = breaker.opened_by if is_failing else breaker.failures
    return f"{count:,}" if breaker.threshold is None else f"{count:,} of {breaker.threshold:,}"


def _moment(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    try:
        moment = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return "-"  # what others have written there
    return f"{duration(max(time() - seconds, 1))} ago, {moment}"
