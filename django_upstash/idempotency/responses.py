"""
Responses as they are stored and sent again: status, headers and body, byte by byte, but for cookies.

A body that is compressed is stored as it was before: whether it is compressed again is for each request to negotiate.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from django.http import HttpResponse
from django.http.response import HttpResponseBase

from django_upstash.idempotency import codings

REPLAYED = "Idempotent-Replayed"
# Of one connection, or of one browser (RFC 9110, section 7.6.1; Set-Cookie set as a header).
_NOT_REPLAYED = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization proxy-connection set-cookie set-cookie2 te trailer "
    "transfer-encoding upgrade".split()
)


# What Django's decorators note on a response for the middleware above.
_NOTES = ("xframe_options_exempt", "_csp_config", "_csp_ro_config")


class StoredResponse(NamedTuple):
    """
    What is kept of a response. ``body`` is None where it was too large, or streamed: it was sent once only.

    ``status`` is 0 where the request was cut off before it had a response.
    """

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None
    notes: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(cls, response: HttpResponseBase, largest: int) -> StoredResponse:
        """Return what is kept of a rendered response whose body may have ``largest`` bytes."""
        body = response.content if isinstance(response, HttpResponse) else None
        headers = {name: value for name, value in response.items() if name.lower() not in _NOT_REPLAYED}
        if body is not None and "Content-Encoding" in response.headers:
            body = _without_coding(body, headers, largest)
        if body is None or len(body) > largest:
            return cls(response.status_code, response.reason_phrase, (), None)
        return cls(response.status_code, response.reason_phrase, tuple(headers.items()), body, _notes(response))

    @property
    def coding(self) -> str | None:
        """The coding that the body has still, because this module does not know it."""
        return next((value for name, value in self.headers if name.lower() == "content-encoding"), None)

    def replayed(self) -> ReplayedResponse:
        """Return the response again; there must be a body."""
        response = ReplayedResponse(self.body or b"", status=self.status, reason=self.reason)
        del response.headers["Content-Type"]
        for name, value in self.headers:
            response.headers[name] = value
        response.headers[REPLAYED] = "true"
        vars(response).update(self.notes)
        return response


CUT_OFF = StoredResponse(0, "", (), None)


def _without_coding(body: bytes, headers: dict[str, str], largest: int) -> bytes:
    """Return the body as it was before it was compressed, and let the headers say so; both as they are, else."""
    names = {name.lower(): name for name in headers}
    found = codings.decoded(body, headers[names["content-encoding"]], largest)
    if found is None:
        return body
    del headers[names["content-encoding"]]
    if "content-length" in names:
        headers[names["content-length"]] = str(len(found))
    return found


def _notes(response: HttpResponseBase) -> tuple[tuple[str, Any], ...]:
    found = [(name, vars(response)[name]) for name in _NOTES if name in vars(response)]
    try:
        json.dumps(found)
    except (TypeError, ValueError):
        return ()
    return tuple(found)


class ReplayedResponse(HttpResponse):
    """A stored response that is sent again."""


class ResponseSerializer:
    """A line of JSON, and the body as it is."""

    def dumps(self, value: StoredResponse) -> bytes:
        head = [value.status, value.reason, value.headers, value.body is not None]
        line = json.dumps([*head, value.notes] if value.notes else head, separators=(",", ":"))
        return line.encode() + b"\n" + (value.body or b"")

    def loads(self, data: bytes) -> StoredResponse:
        line, _, body = data.partition(b"\n")
        status, reason, headers, has_body, *notes = json.loads(line)
        kept: Any = tuple((name, value) for name, value in headers)
        noted = tuple((name, value) for name, value in notes[0]) if notes else ()
        return StoredResponse(status, reason, kept, body if has_body else None, noted)
