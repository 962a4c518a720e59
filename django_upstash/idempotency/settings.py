"""What ``UPSTASH_IDEMPOTENCY`` may say. Pure: opens no connection."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

from django_upstash.sessions.settings import SessionSettings, session_settings
from django_upstash.settings import conf
from django_upstash.settings.encryption_keys import encryption_keys
from django_upstash.settings.rules import Mistake, Rule, dotted_path, flag, one_of, seconds, text, whole
from django_upstash.settings.schema import Schema, option


def _time(hint: str) -> Rule:
    return seconds("E424", "seconds, 0.001 or more, or a timedelta", hint, least=0.001)


def _methods() -> Rule:
    return Rule("E426", _are_methods, "a list of methods", 'Such as ["POST", "PATCH"].', _in_capitals)


def _are_methods(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset) and all(
        isinstance(method, str) and re.fullmatch("[A-Za-z]+", method) for method in value
    )


def _in_capitals(methods: Any) -> tuple[str, ...]:
    return tuple(method.upper() for method in methods)


@dataclass(frozen=True, kw_only=True)
class IdempotencySettings:
    """
    ``settings.UPSTASH_IDEMPOTENCY``, checked and typed. Times are in seconds, sizes in bytes.

    ``encryption_keys`` None is those of ``UPSTASH_SESSIONS``.
    """

    alias: str = option(text("E423"), default="default")
    tenant: str = option(text("E423", "a text of 1 to 1024 characters"), default="default")
    ttl: float = option(_time("Write 86400 for a day."), default=86_400.0)  # of a result
    # Of a reservation, longer than any request takes.
    in_progress_ttl: float = option(_time("Write 60, or more where requests take longer."), default=60.0)
    methods: tuple[str, ...] = option(_methods(), default=("POST", "PATCH"))
    required: bool = option(flag("E426"), default=False)
    bare_keys: bool = option(flag("E426"), default=False)  # accept a header without quotes
    on_failure: Literal["open", "closed"] = option(
        one_of(
            "E425",
            *("open", "closed"),
            hint="While Redis is away, requests with a key run unprotected with the first and get 503 with the second.",
        ),
        default="closed",
    )
    store: Literal["success", "client_errors", "all"] = option(
        one_of(
            "E425",
            *("success", "client_errors", "all"),
            hint="Up to which status responses are kept: 399, 499 or 599.",
        ),
        default="client_errors",
    )
    max_response_size: int = option(
        whole("E426", 0, words="a whole number of bytes", hint="Write it without quotes."), default=1024 * 1024
    )
    retry_after: int = option(
        whole("E426", 1, words="a whole number of seconds, 1 or more", hint="Write it without quotes."), default=1
    )
    principal: str | None = option(
        dotted_path(
            "E423", "the dotted path of a function", 'It is called with (request, user): "shop.who".'
        ).or_none(),
        default=None,
    )
    encryption_keys: tuple[bytes, ...] | None = option(
        encryption_keys(
            "E427", "The first key encrypts, all of them decrypt; None takes those of UPSTASH_SESSIONS, [] none."
        ).or_none(),
        default=None,
        repr=False,
    )


def _contradictions(found: IdempotencySettings, where: str) -> Iterator[Mistake]:
    if found.in_progress_ttl > found.ttl:
        text = f'{where}["IN_PROGRESS_TTL"] is longer than "TTL".'
        yield Mistake("E424", text, "A result is to be kept at least as long as it may take to make it.")


SCHEMA = Schema("UPSTASH_IDEMPOTENCY", IdempotencySettings, "E421", contradictions=_contradictions, unknown_id="E422")


def idempotency_settings() -> IdempotencySettings:
    """Return the setting typed, with the keys to encrypt with; raise ``ImproperlyConfigured`` for the first mistake."""
    found = SCHEMA.read()
    return found if found.encryption_keys is not None else _with_keys(found, session_settings())


@lru_cache(maxsize=1)
def _with_keys(found: IdempotencySettings, sessions: SessionSettings) -> IdempotencySettings:
    return replace(found, encryption_keys=sessions.encryption_keys)


def uses_idempotency() -> bool:
    """Tell whether the site says how idempotency keys are kept."""
    return conf.setting(SCHEMA.name) is not None
