"""What happens where a stored session cannot be read or is not accepted."""

from __future__ import annotations

from django_upstash.exceptions import PoolTimeoutError, UpstashError
from django_upstash.log import get_logger
from django_upstash.sessions.session_keys import SessionKeyspace
from django_upstash.wire.refusals import reports

security_logger = get_logger("django.security.SuspiciousSession")
logger = get_logger("django_upstash.sessions")


def raise_unless_anonymous(space: SessionKeyspace, error: UpstashError) -> None:
    """Raise the error of a failed read, or log it where the request goes on without its session (``ON_FAILURE``)."""
    connection = space.connection
    # A process with no connection free is no reason to treat its users as strangers.
    is_congested = isinstance(error, PoolTimeoutError) and connection.availability.is_up
    if space.settings.on_failure == "error" or is_congested:
        raise error
    what = "Requests go on without their sessions, which cannot be read from the server"
    reports.report(logger, connection.settings.safe_url, what, error)
    logger.warning("A request goes on without its session, which cannot be read: %s.", type(error).__name__)


def log_rejected(reason: str) -> None:
    """Log that a stored session is not accepted, where Django logs suspicious sessions."""
    security_logger.warning("A stored session was rejected: %s.", reason)
