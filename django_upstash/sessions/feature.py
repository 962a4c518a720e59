"""What sessions declare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from django_upstash.features import Check, Feature, FlushTarget, KeptState, StatePlace
from django_upstash.sessions.settings import session_settings, uses_sessions
from django_upstash.settings import conf

if TYPE_CHECKING:
    from django_upstash.operations.key_kind import Kind
    from django_upstash.settings.connection import ConnectionSettings

_SETTING = "ALIAS of UPSTASH_SESSIONS"


def _key_beginnings() -> tuple[str, str]:
    given = conf.setting("UPSTASH_SESSIONS")
    prefix = given.get("PREFIX", "session") if isinstance(given, Mapping) else "session"
    return f"{prefix}:", f"{prefix}-of:"


def _places() -> Iterator[StatePlace]:
    if uses_sessions():
        yield StatePlace.of(conf.setting("UPSTASH_SESSIONS"), _SETTING)


def _kinds() -> list[Kind]:
    from django_upstash.operations.key_scan import beginning_with
    from django_upstash.operations.keys import root

    return beginning_with(*map(root, _key_beginnings()))


def _settings() -> ConnectionSettings:
    return conf.connection_settings(session_settings().alias)


FEATURE = Feature(
    name="sessions",
    checks=(Check("django_upstash.sessions.checks.check_sessions"),),
    state=KeptState(title="sessions", key_beginnings=_key_beginnings, places=_places, setting=_SETTING),
    flush_targets=lambda: [FlushTarget(name="sessions", kinds=_kinds, settings=_settings)],
    sections=("django_upstash.sessions.health.SessionsSection",),
)
