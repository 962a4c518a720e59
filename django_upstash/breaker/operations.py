"""The operations of breakers: what each sends, and how it reads the replies."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from django_upstash.breaker.record import CircuitRecord
from django_upstash.breaker.status import LOOK, RELEASED, Standing, State, Step
from django_upstash.operations import Operation, Reply, checked, only, scripts, then
from django_upstash.operations.capabilities import Capabilities
from django_upstash.operations.keys import percent_decoded, percent_encoded, root

_INDEX = "breakers"
_FORCED = "breaker-forced"
KEPT_SECONDS = 7 * 86400


def check_name(name: str) -> None:
    """Raise ``ValueError`` for a name that no breaker can have."""
    if not (name and isinstance(name, str)):
        raise ValueError("The name of a breaker must be a text that is not empty.")


def beginning() -> str:
    """Return what the keys of all records begin with."""
    return root("breaker:")


def record_key(name: str) -> str:
    """Return the key of a breaker's record; raise ``ValueError`` for an invalid name."""
    check_name(name)
    return beginning() + percent_encoded(name)


def index_key() -> str:
    """Return the key of the sorted set of the breakers that have opened."""
    return root(_INDEX)


def forced_key() -> str:
    """Return the key of the hash of what is forced, by breaker."""
    return root(_FORCED)


def decide(capabilities: Capabilities, name: str, step: Step) -> Operation[Standing]:
    """Take a step on a breaker's record, by the server's clock, and return the state of the circuit after it."""
    word, *rest = step
    arguments = [word, percent_encoded(name), str(KEPT_SECONDS * 1000), *rest]
    script = scripts.load("breaker/decide")
    return script.operation(capabilities, [record_key(name), index_key(), forced_key()], arguments, _standing)


def look(name: str) -> Operation[Standing]:
    """Return the state of a circuit: one command where it is closed, for that has no end to be measured."""
    return then(look_listed(name), lambda listed: listed.standing)


def look_listed(name: str) -> Operation[Listed]:
    """Return the state of one breaker, recorded or not, at the cost of ``look``."""

    def parse(replies: list[Reply]) -> Listed | Operation[Listed]:
        text = only(replies)
        record = CircuitRecord.parse(text)
        if record.state is State.CLOSED and record.forced == RELEASED:
            return _listed(name, text, record.opened_at)
        return Operation((("TIME",),), lambda replies: _listed(name, text, _milliseconds(only(replies))))

    return Operation((("GET", record_key(name)),), parse)


def forced() -> Operation[dict[str, str]]:
    """Return what is forced, in the words that are stored, by breaker; other words mean that it was forced again."""

    def parse(replies: list[Reply]) -> dict[str, str]:
        found: list[Any] = only(replies)
        texts = [text.decode("utf-8", "replace") for text in found]
        return dict(zip(texts[::2], texts[1::2], strict=True))

    return Operation((("HGETALL", forced_key()),), parse)


class Listed(NamedTuple):
    """
    A breaker and the state of its circuit.

    ``notes`` are about its last opening: ``error``, ``failures``, ``threshold`` and ``refused``. ``is_recorded`` says
    whether the server has a record of it.
    """

    name: str
    standing: Standing
    notes: dict[str, str] = {}  # noqa: RUF012  # never written to
    is_recorded: bool = True


def listing(known: Collection[str] = ()) -> Operation[list[Listed]]:
    """
    Return the breakers that have opened, or have been forced, within a week, by name: three commands for all.

    Those that are ``known`` are listed in any case.
    """

    def parse(replies: list[Reply]) -> Operation[list[Listed]]:
        texts = (text.decode("utf-8", "replace") for text in only(replies))
        # What others may have written there is nobody's name.
        return _stands(sorted({*filter(None, map(percent_decoded, texts)), *known}), known)

    return Operation((("ZRANGE", index_key(), "0", "-1"),), parse)


def _stands(names: Sequence[str], known: Collection[str]) -> Operation[list[Listed]]:
    if not names:
        return Operation((), lambda _: [])

    def parse(replies: list[Reply]) -> list[Listed]:
        time, texts = checked(replies)
        found = zip(names, texts, strict=True)
        now = _milliseconds(time)
        # The record of one that is named may have ended.
        return [_listed(name, text, now) for name, text in found if text is not None or name in known]

    return Operation((("TIME",), ("MGET", *map(record_key, names))), parse)


def _listed(name: str, text: bytes | None, now: int) -> Listed:
    record = CircuitRecord.parse(text)
    return Listed(name, record.decide(LOOK, now), record.notes, text is not None)


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
