"""
Django's sessions on Upstash: ``SESSION_ENGINE = "django_upstash.sessions"``.

    from django_upstash.sessions import log_out_everywhere, sessions_for
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_upstash.features import import_lazily

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

__getattr__ = import_lazily(
    __name__,
    {
        "django_upstash.sessions.user_sessions": [
            "LoggedOut",
            "UserSession",
            "acount_sessions",
            "alog_out",
            "alog_out_everywhere",
            "asessions_for",
            "count_sessions",
            "log_out",
            "log_out_everywhere",
            "sessions_for",
        ],
        "django_upstash.sessions.store": ["SessionStore"],
    },
)
