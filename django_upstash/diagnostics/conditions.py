"""What the table of causes asks of a failure: each condition is a function that tells whether the failure fits."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from typing import TypeAlias

from django_upstash.diagnostics.failure import Failure

Fits: TypeAlias = Callable[[Failure], bool]


def every(*conditions: Fits) -> Fits:
    return lambda failure: all(fits(failure) for fits in conditions)


def raised(kind: type[Exception], pattern: str = "") -> Fits:
    """Fit an error of a kind whose text matches a pattern."""
    return lambda failure: isinstance(failure.error, kind) and re.search(pattern, failure.text) is not None


def beneath(*kinds: type[BaseException]) -> Fits:
    return lambda failure: failure.beneath(*kinds) is not None


def scheme(*schemes: str) -> Fits:
    return lambda failure: failure.settings.scheme in schemes


def system(*numbers: int) -> Fits:
    """Fit what the operating system reports with one of these numbers."""
    return lambda failure: getattr(failure.beneath(OSError), "errno", None) in numbers


def certificate(*codes: int) -> Fits:
    """Fit a certificate refused for one of these reasons, or for any where none is given."""

    def fits(failure: Failure) -> bool:
        error = failure.beneath(ssl.SSLCertVerificationError)
        return error is not None and (not codes or error.verify_code in codes)

    return fits


def handshake(*reasons: str) -> Fits:
    """Fit a TLS handshake that failed for one of these reasons, or for any where none is given."""

    def fits(failure: Failure) -> bool:
        error = failure.beneath(ssl.SSLError)
        return error is not None and (not reasons or error.reason in reasons)

    return fits


def in_handshake(failure: Failure) -> bool:
    """Fit a time-out in the middle of a TLS handshake."""
    return "handshake" in str(failure.beneath(TimeoutError))


def has_no_password(failure: Failure) -> bool:
    return failure.settings.user_and_password[1] is None


def through_proxy(failure: Failure) -> bool:
    return failure.settings.route == "rest" and failure.dialled != failure.where
