"""A connection's error in the light of its settings: what the table of causes looks at, and the words it uses."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from django_upstash.settings.conf import ConnectionSettings

HIDDEN = "••••"
_LONGEST_DETAIL = 200
_PORTS = {"redis": 6379, "rediss": 6379, "http": 80, "https": 443}

Kind = TypeVar("Kind", bound=BaseException)


def without_secrets(text: str, settings: ConnectionSettings) -> str:
    """Return a text that others wrote, such as a server's error, without what the settings keep secret."""
    for secret in sorted(settings.secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


class Failure:
    """An error in the light of the settings: what the rows of the table look at, and the words they use."""

    def __init__(self, error: Exception, settings: ConnectionSettings) -> None:
        self.error = error
        self.settings = settings
        self.text = str(error)

    def beneath(self, *kinds: type[Kind]) -> Kind | None:
        """Return the first error of these kinds among this one and those that led to it."""
        return next((error for error in self._chain if isinstance(error, kinds)), None)

    @property
    def detail(self) -> str:
        """The error's own words, on one line."""
        line = " ".join(without_secrets(self.text, self.settings).split())
        return line[:_LONGEST_DETAIL].rstrip(".")

    @property
    def certificate_error(self) -> str:
        """OpenSSL's own words for what is wrong with a certificate."""
        error = self.beneath(ssl.SSLCertVerificationError)
        return "" if error is None else error.verify_message

    @property
    def answer(self) -> str:
        """What the error says of an HTTP response."""
        match = re.search(r"HTTP \d+( with a body that [\w ]+)?", self.text)
        return match[0] if match else self.detail

    @property
    def url(self) -> str:
        return self.settings.safe_url

    @property
    def host(self) -> str:
        return self.settings.parts.hostname or self.settings.parts.path

    @property
    def where(self) -> str:
        """The server's address: host and port, or the path of a unix socket."""
        parts = self.settings.parts
        if parts.hostname is None:
            return parts.path or self.url
        return f"{parts.hostname}:{parts.port or _PORTS.get(self.settings.scheme, '')}"

    @property
    def dialled(self) -> str:
        """The address that was dialled: not the server's if there is a proxy."""
        match = re.match(r"(?:Cannot connect|No connection) to (\S+?)(?::? )", self.text)
        return match[1] if match else self.where

    @property
    def seconds(self) -> str:
        return f"{self.settings.timeout:g}"

    @property
    def credentials(self) -> str:
        if self.settings.route == "rest":
            return "token"
        return "user" if self.settings.user_and_password[0] else "password"

    @property
    def tls_reason(self) -> str:
        error = self.beneath(ssl.SSLError)
        reason = getattr(error, "reason", None) or "no reason given"
        return reason.replace("_", " ").lower()

    @cached_property
    def _chain(self) -> list[BaseException]:
        return list(_chain(self.error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # an error may have been raised from itself
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
