"""The operations of breakers: what each sends, and how it reads the replies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from django_upstash import scripts
from django_upstash.breaker.record import Record
from django_upstash.breaker.standing import LOOK, Standing, State, Step
from django_upstash.capabilities import Capabilities
from django_upstash.keys import percent_decoded, percent_encoded
from django_upstash.operations import Operation, Reply, checked, only

INDEX = "breakers"
FORCED = "breaker-forced"
KEPT_SECONDS = 7 * 86400


def record_key(name: str) -> str:
    """Return the key of a breaker's record; raise ``ValueError`` for a name that is none."""
    if not (name and isinstance(name, str)):
        raise ValueError("The name of a breaker must be a text that is not empty.")
    return f"breaker:{percent_encoded(name)}"


def decide(capabilities: Capabilities, name: str, step: Step) -> Operation[Standing]:
    """Take a step on a breaker's record, by the server's clock, and return how the circuit then stands."""
    word, *rest = step
    arguments = [word, percent_encoded(name), str(KEPT_SECONDS * 1000), *rest]
    script = scripts.load("breaker")
    return script.operation(capabilities, [record_key(name), INDEX, FORCED], arguments, _standing)


def look(name: str) -> Operation[Standing]:
    """Return how a circuit stands: one command where it is closed, for that has no end to be measured."""

    def parse(replies: list[Reply]) -> Standing | Operation[Standing]:
        record = Record.parse(only(replies))
        standing = record.decide(LOOK, 0)
        if standing.state is State.CLOSED:
            return standing
        return Operation((("TIME",),), lambda replies: record.decide(LOOK, _milliseconds(only(replies))))

    return Operation((("GET", record_key(name)),), parse)


def forced() -> Operation[dict[str, str]]:
    """Return what is forced, in the words that are stored, by breaker; other words mean that it was forced anew."""

    def parse(replies: list[Reply]) -> dict[str, str]:
        found: list[Any] = only(replies)
        texts = [text.decode("utf-8", "replace") for text in found]
        return dict(zip(texts[::2], texts[1::2], strict=True))

    return Operation((("HGETALL", FORCED),), parse)


class Listed(NamedTuple):
    """A breaker that has opened, or has been forced, within a week, and how its circuit stands."""

    name: str
    standing: Standing


def listing() -> Operation[list[Listed]]:
    """Return the breakers that have opened, or have been forced, within a week, by name: three commands for all."""

    def parse(replies: list[Reply]) -> Operation[list[Listed]]:
        texts = (text.decode("utf-8", "replace") for text in only(replies))
        # What others may have written there is nobody's name.
        return _stands(sorted(filter(None, map(percent_decoded, texts))))

    return Operation((("ZRANGE", INDEX, "0", "-1"),), parse)


def _stands(names: Sequence[str]) -> Operation[list[Listed]]:
    if not names:
        return Operation((), lambda _: [])

    def parse(replies: list[Reply]) -> list[Listed]:
        time, texts = checked(replies)
        found = zip(names, texts, strict=True)
        now = _milliseconds(time)
        # The record of one that is named may have ended.
        return [Listed(name, Record.parse(text).decide(LOOK, now)) for name, text in found if text is not None]

    return Operation((("TIME",), ("MGET", *map(record_key, names))), parse)


def _milliseconds(time: Any) -> int:
    seconds, microseconds = time
    return int(seconds) * 1000 + int(microseconds) // 1000


def _standing(replies: list[Reply]) -> Standing:
    state, left, *numbers = checked(replies)[0]
    failures, opens, opened_at, granted, decided_here = numbers
    return Standing(
        State(state.decode()),
        None if left < 0 else left / 1000,
        failures,
        opens,
        opened_at / 1000 or None,
        bool(granted),
        bool(decided_here),
    )
