"""What ``TASKS[…]["OPTIONS"]`` may say for this package's backend. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django_upstash.settings.rules import WITHOUT_QUOTES, Mistake, Rule, number, text, whole
from django_upstash.settings.schema import Schema, option


def _name() -> Rule:
    return text("E463", "a text of 1 to 60 characters", "Write it in quotes.", most=60)


def _seconds(most: float) -> Rule:
    words = f"a number of seconds above 0, {most:,.0f} at most"
    return number("E464", 0, most, words, WITHOUT_QUOTES, above=True)


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """
    The options of a task backend, checked and typed. Times are in seconds.

    ``retries`` is how often a task that raised is run again; ``max_attempts`` is how many runs may be begun in all,
    those that their workers did not survive among them.
    """

    alias: str = option(_name(), default="default")
    prefix: str = option(_name(), default="tasks")
    visibility: float = option(_seconds(86_400.0), default=60.0)
    max_attempts: int = option(whole("E465", 1, 999), default=5)
    retries: int = option(whole("E465", 0, 998), default=0)
    result_ttl: float = option(_seconds(10 * 365 * 86_400.0), default=7 * 86_400.0)
    longest_poll: float = option(_seconds(3600.0), default=5.0)


def _contradictions(found: TaskSettings, where: str) -> Iterator[Mistake]:
    if found.retries >= found.max_attempts:
        text = f'{where}["RETRIES"] is {found.retries}, and MAX_ATTEMPTS allows {found.max_attempts} runs in all.'
        yield Mistake("E466", text, "MAX_ATTEMPTS must be larger than RETRIES.")


SCHEMA = Schema(
    'TASKS[…]["OPTIONS"]',
    TaskSettings,
    "E461",
    'Write {"ALIAS": "default"}, or leave it out.',
    contradictions=_contradictions,
    unknown_id="E462",
)
