"""
Refusals: a server that answers, and says no, or another program that answers in its place. That is no outage, and
asking again at once is of no use.

``RefusalStanding`` remembers a used-up quota, a rate limit or a wrong password for a moment, so that not every caller
asks and pays for the same answer. ``report`` logs what stays refused once a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from django_upstash.exceptions import (
    AuthenticationError,
    NoPermissionError,
    OutOfMemoryError,
    ProtocolError,
    QuotaExceededError,
    ReadOnlyError,
    ResponseError,
    TooManyRequestsError,
    UpstashError,
)
from django_upstash.log import EscapingLogger
from django_upstash.operations import Reply

# What holds for every command of a connection until somebody changes something.
_FOR_ALL = (AuthenticationError, QuotaExceededError, TooManyRequestsError)
SHORTEST, LONGEST = 1.0, 60.0  # seconds for which one refusal answers all callers
BETWEEN_REPORTS = 60.0  # seconds

_WHAT_TO_DO: tuple[tuple[type[UpstashError], str], ...] = (
    (NoPermissionError, "Allow the user of the URL this command, or use the standard token."),
    (OutOfMemoryError, "Delete keys, give them lifetimes, or enlarge the database."),
    (ReadOnlyError, "Name the primary's address, or use the standard token."),
    (QuotaExceededError, "Choose a larger plan, or wait for the next period."),
    (TooManyRequestsError, "Choose a larger plan or budget, or send fewer requests."),
    (AuthenticationError, "Correct the password or the token."),
    (ProtocolError, "Correct the URL: another program answers there, or something between it and this process."),
)


def is_refusal(error: BaseException) -> bool:
    """Tell whether an error is a server's no, or what no server of the kind says, as opposed to its silence."""
    if isinstance(error, ProtocolError):
        return not error.is_truncated
    return isinstance(error, (ResponseError, *_FOR_ALL))


class RefusalStanding:
    """
    The refusal that a connection met with last and that holds for all commands; times are in seconds.

    One may be a passing one. The second in a row, or one that says when to come back, answers all callers for a moment.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._until = float("-inf")
        self._in_a_row = 0
        self.error: UpstashError | None = None

    def note(self, error: BaseException) -> None:
        """Keep an error in mind where it holds for every command."""
        if isinstance(error, _FOR_ALL):
            told: float | None = getattr(error, "retry_after", None)
            self._in_a_row += 1
            if told is not None or self._in_a_row > 1:
                self._until = self._clock() + min(max(told or 0.0, SHORTEST), LONGEST)
            self.error = error

    def meet(self, error: Exception) -> None:
        """Learn that an error is among the replies of an operation, all of which ``answered`` then gets."""
        if self.error is None and isinstance(error, _FOR_ALL):
            self.error = error

    def answered(self, replies: Sequence[Reply]) -> None:
        """Keep the refusal in the replies in mind; forget the last one where the server runs commands again."""
        found = next((reply for reply in replies if isinstance(reply, _FOR_ALL)), None)
        if found is not None:
            self.note(found)
        else:
            self.error, self._in_a_row, self._until = None, 0, float("-inf")

    def check(self) -> None:
        """Raise the refusal again while it is fresh; after that one caller asks, and the others wait for its answer."""
        error, now = self.error, self._clock()
        if error is None or (self._in_a_row < 2 and self._until < now):
            return
        if now < self._until:
            raise _copy(error)
        self._until = now + SHORTEST

    def again(self) -> UpstashError | None:
        """Return the refusal to be raised once more, None where the last answer was none."""
        return None if self.error is None else _copy(self.error)


def _copy(error: UpstashError) -> UpstashError:
    copied = type(error)(*error.args)
    if isinstance(copied, TooManyRequestsError) and isinstance(error, TooManyRequestsError):
        copied.retry_after = error.retry_after
    return copied


class Reports:
    """Which refusals have been logged when, in this process."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._logged: dict[tuple[str, str, type[BaseException]], float] = {}

    def report(self, logger: EscapingLogger, where: str, what: str, error: BaseException) -> None:
        """Log as an ERROR ``what`` a refusal of the server ``where`` means, unless that was done in the last minute."""
        if not is_refusal(error):
            return
        key, now = (where, what, type(error)), self._clock()
        if now - self._logged.get(key, float("-inf")) < BETWEEN_REPORTS:
            return
        self._logged[key] = now
        advice = next((advice for kind, advice in _WHAT_TO_DO if isinstance(error, kind)), "")
        logger.error("%s, which refuses (%s): %s. %s", what, where, str(error).rstrip("."), advice)

    def forget(self) -> None:
        """Log each refusal again when it is met next."""
        self._logged.clear()


reports = Reports()
