"""
Every error this package raises, all of them also redis-py's own.

    UpstashError
    ├── ConnectionError             the wire failed; whether the commands ran is unknown unless the text says so
    │   ├── AuthenticationError     wrong or missing password or token
    │   ├── MaxConnectionsError     no connection became free within the pool timeout, or the server takes no more
    │   ├── BusyLoadingError        the server is still loading its data
    │   ├── ServiceUnavailableError the REST gateway answered 429 or 5xx
    │   ├── ServerAwayError         the server was not asked, for it has not answered a moment ago
    │   ├── SessionUnavailableError a session that could not be read in this request, and so cannot be saved either
    │   └── ProtocolError           the answer was not Redis': HTML, truncated, empty
    ├── TimeoutError                no answer within the timeout; whether the commands ran is unknown
    ├── ReservationLostError        an idempotency key or a job that was not finished in time, and may be another's
    ├── LockNotAcquired             somebody else held the lock for as long as the caller would wait
    ├── LockLost                    the lock was somebody else's, or nobody's, before its holder had finished
    ├── CircuitOpen                 a breaker refused a call, for what it guards has failed a moment ago
    ├── DataError                   an argument that cannot be sent; nothing was sent
    │   ├── NotOverRestError        what needs a connection of its own, asked of one over REST
    │   └── OversizedValueError     a value above the size that a cache takes
    └── ResponseError               the server refused one command (the error in that command's slot)
        ├── UnknownCommandError     the server does not have the command
        ├── NoScriptError           EVALSHA of a script the server has not seen
        ├── NoPermissionError       the user or token may not run the command
        ├── ReadOnlyError           writes are refused
        ├── OutOfMemoryError        the database is full
        ├── QuotaExceededError      the plan's request limit is used up
        ├── PayloadTooLargeError    a request, reply or record above the server's limit
        └── ExecAbortError          a transaction of which nothing was executed
"""

from __future__ import annotations

import re

import redis.exceptions as redis

__all__ = [
    "AuthenticationError",
    "BusyLoadingError",
    "CircuitOpen",
    "ConnectionError",
    "DataError",
    "ExecAbortError",
    "LockLost",
    "LockNotAcquired",
    "MaxConnectionsError",
    "NoPermissionError",
    "NoScriptError",
    "NotOverRestError",
    "OutOfMemoryError",
    "OversizedValueError",
    "PayloadTooLargeError",
    "ProtocolError",
    "QuotaExceededError",
    "ReadOnlyError",
    "ReservationLostError",
    "ResponseError",
    "ServerAwayError",
    "ServiceUnavailableError",
    "SessionUnavailableError",
    "TimeoutError",
    "UnknownCommandError",
    "UpstashError",
    "server_error",
]


class UpstashError(redis.RedisError):
    """Base of all errors of this package."""


class ConnectionError(UpstashError, redis.ConnectionError):
    """The wire failed. Unless the text says that nothing was sent, the commands may have run."""


class AuthenticationError(ConnectionError, redis.AuthenticationError):
    """The server refused the password or the token."""


class MaxConnectionsError(ConnectionError, redis.MaxConnectionsError):
    """No connection became free within ``POOL_TIMEOUT`` seconds, or the server accepts no more."""


class BusyLoadingError(ConnectionError, redis.BusyLoadingError):
    """The server is loading its data set into memory."""


class ServiceUnavailableError(ConnectionError):
    """The REST endpoint answered 429 or 5xx."""


class ServerAwayError(ConnectionError):
    """The server has not answered a moment ago, and is left alone for now. Nothing was sent."""


class SessionUnavailableError(ConnectionError):
    """A session that could not be read in this request, which was served without it, and so cannot be saved either."""


class ProtocolError(ConnectionError, redis.InvalidResponse):
    """What came back is not an answer of Redis or of Upstash REST."""


class TimeoutError(UpstashError, redis.TimeoutError):
    """No answer within ``TIMEOUT`` seconds. The commands may have run."""


class ReservationLostError(UpstashError):
    """The reservation of an idempotency key or of a job has ended before its owner was done. Nothing was changed."""


class LockNotAcquired(UpstashError, redis.LockError):
    """Somebody else held the lock for as long as the caller would wait."""


class LockLost(UpstashError, redis.LockNotOwnedError):
    """The lease ended, or its key was removed, before the holder had finished: another may have held it as well."""


class CircuitOpen(UpstashError):
    """A breaker refused a call. ``name`` is the breaker's, ``retry_after`` the seconds until another has a chance."""

    def __init__(self, name: str, retry_after: float) -> None:
        super().__init__(name, retry_after)
        self.name = name
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"The circuit {self.name!r} is open; try again in {self.retry_after:.1f} s."


class DataError(UpstashError, redis.DataError):
    """An argument that cannot be sent. Nothing was sent."""


class NotOverRestError(DataError, NotImplementedError):
    """What needs a connection of its own, asked of a connection over REST. Nothing was sent."""


class OversizedValueError(DataError, ValueError):
    """The stored form of a value is larger than the cache takes. Nothing was sent."""


class ResponseError(UpstashError, redis.ResponseError):
    """The server refused a command."""


class UnknownCommandError(ResponseError):
    """The server does not have this command."""


class NoScriptError(ResponseError, redis.NoScriptError):
    """The server has not seen the script of this SHA."""


class NoPermissionError(ResponseError, redis.NoPermissionError):
    """The user or token may not run this command."""


class ReadOnlyError(ResponseError, redis.ReadOnlyError):
    """The server refuses writes: a replica, a read-only token, or an upgrade in progress."""


class OutOfMemoryError(ResponseError, redis.OutOfMemoryError):
    """The database is full; reads and deletes still work."""


class QuotaExceededError(ResponseError):
    """The plan's number of requests is used up until the next billing period."""


class PayloadTooLargeError(ResponseError):
    """A request, a reply or a record is larger than the server allows."""


class ExecAbortError(ResponseError, redis.ExecAbortError):
    """The transaction was discarded; none of its commands ran."""


# Codes as they lead an error line (https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors).
# redis-py drops a known code from the message; so do we, so that texts compare equal.
_BY_CODE: dict[str, type[ResponseError | ConnectionError]] = {
    "ERR": ResponseError,
    "NOAUTH": AuthenticationError,
    "WRONGPASS": AuthenticationError,
    "LOADING": BusyLoadingError,
    "NOSCRIPT": NoScriptError,
    "NOPERM": NoPermissionError,
    "READONLY": ReadOnlyError,
    "OOM": OutOfMemoryError,
    "EXECABORT": ExecAbortError,
}
_BY_BEGINNING: tuple[tuple[str, type[ResponseError | ConnectionError]], ...] = (
    ("unknown command", UnknownCommandError),
    ("Command is not available", UnknownCommandError),
    ("max number of clients reached", MaxConnectionsError),
    ("max concurrent connections exceeded", MaxConnectionsError),
    ("max requests limit exceeded", QuotaExceededError),
    ("max daily request limit exceeded", QuotaExceededError),
    ("max request size exceeded", PayloadTooLargeError),
    ("max single record size exceeded", PayloadTooLargeError),
    ("max key size exceeded", PayloadTooLargeError),
    ("DB capacity quota exceeded", OutOfMemoryError),
)
# Servers echo what they were sent, so everything from here on may be somebody's secret.
_ECHO = re.compile(r",? with args beginning with:.*| Key was: .*|\n.*", re.DOTALL)
_LONGEST_TEXT = 300


def server_error(text: str) -> ResponseError | ConnectionError:
    """Return the error for a server's error line, ``"CODE text"``, without the arguments it echoes."""
    code, _, detail = _ECHO.sub("", text).partition(" ")
    kind = _BY_CODE.get(code)
    if kind is None:
        return ResponseError(f"{code} {detail}"[:_LONGEST_TEXT])
    if kind is ResponseError:
        kind = next((kind for beginning, kind in _BY_BEGINNING if detail.startswith(beginning)), kind)
    return kind(detail[:_LONGEST_TEXT])
