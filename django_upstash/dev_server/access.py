"""Who may talk to the server: programs on this machine that hold a token, and no web page from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import lru_cache
from hmac import compare_digest

from django_upstash.dev_server.messages import ServerRequest
from django_upstash.settings.hosts import is_loopback

_HOST = re.compile(r"(?:https?://)?(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::\d+)?")
_TOKEN = re.compile(r"[!-~]+")
_BEARER = re.compile(rb"^bearer +", re.IGNORECASE)


class Grant(Enum):
    """What a token allows."""

    ALL = auto()
    READ_ONLY = auto()
    NOTHING = auto()


@dataclass(frozen=True)
class Tokens:
    """The tokens of Upstash's two users."""

    standard: str = field(repr=False)
    read_only: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        given = [self.standard] if self.read_only is None else [self.standard, self.read_only]
        if not all(_TOKEN.fullmatch(token) for token in given):
            raise ValueError("A token consists of ASCII letters, digits and signs, without spaces, and is not empty.")
        if self.standard == self.read_only:
            raise ValueError("The read-only token must be another one than the token that may do everything.")

    def by_user(self) -> dict[str, str]:
        tokens = {"default": self.standard, "default_ro": self.read_only}
        return {user: token for user, token in tokens.items() if token is not None}

    def grant(self, request: ServerRequest, parameters: Iterable[tuple[bytes, bytes]]) -> Grant:
        """Return what the request's token allows; one in the query goes before one in the header."""
        given = dict(parameters).get(b"_token") or _BEARER.sub(b"", request.headers.get(b"authorization", b""), count=1)
        if compare_digest(given, self.standard.encode()):
            return Grant.ALL
        if self.read_only is not None and compare_digest(given, self.read_only.encode()):
            return Grant.READ_ONLY
        return Grant.NOTHING


def is_foreign(request: ServerRequest) -> bool:
    """Tell whether a web page from elsewhere sends this, or a name that somebody pointed at this machine led here."""
    origin = request.headers.get(b"origin")
    return not _is_local(request.headers.get(b"host", b"")) or (origin is not None and not _is_local(origin))


@lru_cache(maxsize=64)
def _is_local(name: bytes) -> bool:
    match = _HOST.fullmatch(name.decode("latin-1"))
    return match is not None and is_loopback(match["host"].strip("[]"))
