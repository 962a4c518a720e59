"""
Django's sessions on Upstash: ``SESSION_ENGINE = "django_upstash.sessions"``.

    from django_upstash.sessions import log_out_everywhere, sessions_for
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_upstash.sessions.store import SessionStore
    from django_upstash.sessions.user_sessions import (
        LoggedOut,
        UserSession,
        acount_sessions,
        alog_out,
        alog_out_everywhere,
        asessions_for,
        count_sessions,
        log_out,
        log_out_everywhere,
        sessions_for,
    )

__all__ = [
    "LoggedOut",
    "SessionStore",
    "UserSession",
    "acount_sessions",
    "alog_out",
    "alog_out_everywhere",
    "asessions_for",
    "count_sessions",
    "log_out",
    "log_out_everywhere",
    "sessions_for",
]


def __getattr__(name: str) -> Any:
    # Imported at first use: they bring redis-py, which the system checks of this package need not.
    if name == "SessionStore":
        from django_upstash.sessions import store

        return store.SessionStore
    if name in __all__:
        from django_upstash.sessions import user_sessions

        return getattr(user_sessions, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
