"""Responses as they are stored and sent again: status, headers and body, byte by byte, but for cookies."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from django.http import HttpResponse
from django.http.response import HttpResponseBase

REPLAYED = "Idempotent-Replayed"
# Of one connection, or of one browser (RFC 9110, section 7.6.1; Set-Cookie set as a header).
_NOT_REPLAYED = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization proxy-connection set-cookie set-cookie2 te trailer "
    "transfer-encoding upgrade".split()
)


class StoredResponse(NamedTuple):
    """What is kept of a response. ``body`` is None where it was too large, or streamed: it was sent once only."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None

    @classmethod
    def of(cls, response: HttpResponseBase, largest: int) -> StoredResponse:
        """Return what is kept of a rendered response whose body may have ``largest`` bytes."""
        body = response.content if isinstance(response, HttpResponse) else None
        if body is None or len(body) > largest:
            return cls(response.status_code, response.reason_phrase, (), None)
        headers = tuple(item for item in response.items() if item[0].lower() not in _NOT_REPLAYED)
        return cls(response.status_code, response.reason_phrase, headers, body)

    def replayed(self) -> ReplayedResponse:
        """Return the response anew; there must be a body."""
        response = ReplayedResponse(self.body or b"", status=self.status, reason=self.reason)
        del response.headers["Content-Type"]
        for name, value in self.headers:
            response.headers[name] = value
        response.headers[REPLAYED] = "true"
        return response


class ReplayedResponse(HttpResponse):
    """A stored response that is sent again."""


class ResponseSerializer:
    """A line of JSON, and the body as it is."""

    def dumps(self, value: StoredResponse) -> bytes:
        line = json.dumps([value.status, value.reason, value.headers, value.body is not None], separators=(",", ":"))
        return line.encode() + b"\n" + (value.body or b"")

    def loads(self, data: bytes) -> StoredResponse:
        line, _, body = data.partition(b"\n")
        status, reason, headers, has_body = json.loads(line)
        kept: Any = tuple((name, value) for name, value in headers)
        return StoredResponse(status, reason, kept, body if has_body else None)
