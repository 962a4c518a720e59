"""
Every error this package raises, all of them also redis-py's own once that is imported.

    UpstashError
    ├── ConnectionError             the connection failed; the commands may have run unless the text says otherwise
    │   ├── AuthenticationError     wrong or missing password or token
    │   ├── MaxConnectionsError     the server takes no more connections
    │   │   └── PoolTimeoutError    no connection of this process became free within POOL_TIMEOUT
    │   ├── BusyLoadingError        the server is still loading its data
    │   ├── ServiceUnavailableError the REST gateway answered 5xx
    │   │   └── TooManyRequestsError    the REST gateway answered 429: rate limit or budget used up
    │   ├── ServerAwayError         the server did not respond recently and was not asked
    │   ├── SessionUnavailableError a session that could not be read, so it cannot be saved
    │   └── ProtocolError           the reply was not valid: HTML, truncated, empty
    ├── TimeoutError                no answer within the timeout; whether the commands ran is unknown
    ├── ReservationLostError        an idempotency key or job expired before it was finished
    ├── LockNotAcquired             another holder kept the lock for the whole wait
    ├── LockLost                    the lock expired or was taken before its holder finished
    ├── CircuitOpen                 a circuit breaker refused a call because recent ones failed
    ├── DataError                   an argument cannot be sent; nothing was sent
    │   ├── NotOverRestError        needs a dedicated connection, which REST does not have
    │   └── OversizedValueError     a value larger than the cache accepts
    └── ResponseError               the server refused one command
        ├── UnknownCommandError     the server does not have the command
        ├── NoScriptError           EVALSHA of a script the server has not seen
        ├── NoPermissionError       the user or token may not run the command
        ├── ReadOnlyError           writes are refused
        ├── OutOfMemoryError        the database is full
        ├── QuotaExceededError      the plan's request limit is used up
        ├── PayloadTooLargeError    a request, reply or record above the server's limit
        └── ExecAbortError          a transaction was discarded; none of its commands ran
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

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
    "PoolTimeoutError",
    "ProtocolError",
    "QuotaExceededError",
    "ReadOnlyError",
    "ReservationLostError",
    "ResponseError",
    "ServerAwayError",
    "ServiceUnavailableError",
    "SessionUnavailableError",
    "TimeoutError",
    "TooManyRequestsError",
    "UnknownCommandError",
    "UpstashError",
]

_NOT_CONTACTED = (
    "The server did not respond recently and is not being contacted for now; it is checked once a second. "
    "Nothing was sent."
)


if TYPE_CHECKING:
    from redis.exceptions import RedisError as _ReplaceableBase
else:

    class _ReplaceableBase(Exception):
        """The base until redis-py is imported: Python lets a class be replaced as a base, but not Exception itself."""


class UpstashError(_ReplaceableBase):
    """
    Base of all errors of this package.

    ``is_outage`` says whether the error is evidence that the server does not answer at all. The wire sets it to False
    on an instance where it is not: a reused connection that broke, a wait of this process's own making.
    ``is_doubtful`` says that the evidence is a reused connection's silence: the server is asked again at once, over a
    new one. ``alias`` is the connection it was met on, "" where nothing was sent.
    """

    alias = ""
    is_outage = False
    is_doubtful = False

    def __new__(cls, *args: Any, **kwargs: Any) -> UpstashError:
        derive_from_redis()
        return super().__new__(cls, *args, **kwargs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.args))})"


class ConnectionError(UpstashError):
    """The connection failed. The commands may have run, unless the text says that nothing was sent."""

    is_outage = True


class AuthenticationError(ConnectionError):
    """The server refused the password or the token. This is not an outage."""

    is_outage = False


class MaxConnectionsError(ConnectionError):
    """The server accepts no more connections."""

    is_outage = False


class PoolTimeoutError(MaxConnectionsError):
    """No connection of this process became free within ``POOL_TIMEOUT`` seconds. Nothing was sent."""


class BusyLoadingError(ConnectionError):
    """The server is loading its data set into memory, or is a replica that has lost its primary."""


class ServiceUnavailableError(ConnectionError):
    """The REST endpoint answered 429 or 5xx."""


class TooManyRequestsError(ServiceUnavailableError):
    """
    The REST endpoint answered 429: the rate limit or the budget of the plan is used up. This is not an outage.

    ``retry_after`` is the number of seconds until it accepts requests again, or None if it does not say.
    """

    is_outage = False
    retry_after: float | None = None


class ServerAwayError(ConnectionError):
    """The server did not respond recently and is not being contacted for now. Nothing was sent."""

    def __init__(self, text: str = _NOT_CONTACTED) -> None:
        super().__init__(text)


class SessionUnavailableError(ConnectionError):
    """The session could not be read, the request was served without it, and so it cannot be saved."""


class ProtocolError(ConnectionError):
    """
    The reply is not a valid reply of Redis or of the Upstash REST API: another program answers, which is not an outage.

    ``is_truncated`` says that the connection was closed before the reply was whole, as a server does that goes away.
    """

    is_outage = False
    is_truncated = False


class TimeoutError(UpstashError):
    """No answer within ``TIMEOUT`` seconds. The commands may have run."""

    is_outage = True


class ReservationLostError(UpstashError):
    """The reservation of an idempotency key or a job expired before its owner finished. Nothing was changed."""


class LockNotAcquired(UpstashError):
    """Another holder kept the lock for as long as the caller was willing to wait."""


class LockLost(UpstashError):
    """The lease expired or its key was removed before the holder finished: another may have held the lock, too."""


class CircuitOpen(UpstashError):
    """A circuit breaker refused a call. ``name`` is the breaker; ``retry_after`` is the seconds until the next try."""

    def __init__(self, name: str, retry_after: float) -> None:
        super().__init__(name, retry_after)
        self.name = name
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"The circuit {self.name!r} is open; try again in {self.retry_after:.1f} s."


class DataError(UpstashError):
    """An argument that cannot be sent. Nothing was sent."""


class NotOverRestError(DataError, NotImplementedError):
    """The operation needs a dedicated connection, which REST does not have. Nothing was sent."""


class OversizedValueError(DataError, ValueError):
    """The encoded value is larger than the cache accepts. Nothing was sent."""


class ResponseError(UpstashError):
    """The server refused a command."""


class UnknownCommandError(ResponseError):
    """The server does not have this command."""


class NoScriptError(ResponseError):
    """The server has not seen the script of this SHA."""


class NoPermissionError(ResponseError):
    """The user or token may not run this command."""


class ReadOnlyError(ResponseError):
    """The server refuses writes: a replica, a read-only token, or an upgrade in progress."""


class OutOfMemoryError(ResponseError):
    """The database is full; reads and deletes still work."""


class QuotaExceededError(ResponseError):
    """The plan's requests are used up until the next billing period."""


class PayloadTooLargeError(ResponseError):
    """A request, a reply or a record is larger than the server allows."""


class ExecAbortError(ResponseError):
    """The transaction was discarded; none of its commands ran."""


# What each class derives from besides, where redis-py is imported: the classes of redis.exceptions.
_REDIS_BASES: dict[type[UpstashError], str] = {
    UpstashError: "RedisError",
    ConnectionError: "ConnectionError",
    AuthenticationError: "AuthenticationError",
    MaxConnectionsError: "MaxConnectionsError",
    BusyLoadingError: "BusyLoadingError",
    ProtocolError: "InvalidResponse",
    TimeoutError: "TimeoutError",
    LockNotAcquired: "LockError",
    LockLost: "LockNotOwnedError",
    DataError: "DataError",
    ResponseError: "ResponseError",
    NoScriptError: "NoScriptError",
    NoPermissionError: "NoPermissionError",
    ReadOnlyError: "ReadOnlyError",
    OutOfMemoryError: "OutOfMemoryError",
    ExecAbortError: "ExecAbortError",
}
_derived_from: list[object] = []


def derive_from_redis() -> None:
    """
    Make these classes subclasses of redis-py's, if that has been imported.

    A process that uses REST alone need not import it, which takes longer than all of this package. Each error does this
    when it is made, so that ``except redis.ConnectionError`` catches it: that line has imported redis-py by then.
    """
    module = sys.modules.get("redis.exceptions")
    if module is None or module in _derived_from:
        return
    classes: dict[type[UpstashError], Any] = {
        error: getattr(module, name, None) for error, name in _REDIS_BASES.items()
    }
    if None in classes.values():
        return  # another thread is importing it
    for error, base in classes.items():
        own = [
            found for found in error.__bases__ if issubclass(found, UpstashError)
        ]  # another thread may be at it, too
        error.__bases__ = (*own, base)
    _derived_from.append(module)


def as_redis_raises(*kinds: type[UpstashError]) -> tuple[type[Exception], ...]:
    """Return what ``except`` names to catch these errors, and those of a client of redis-py's own as well."""
    module = sys.modules.get("redis.exceptions")
    return (*kinds, *(getattr(module, _REDIS_BASES[kind], kind) for kind in kinds))


derive_from_redis()
