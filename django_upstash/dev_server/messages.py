"""What passes between the HTTP connection and the endpoints."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from django_upstash.dev_server.encoding import to_json
from django_upstash.dev_server.streams import ServerEventStream

JSON, HTML, RESP2, EVENTS = (
    "application/json",
    "text/html; charset=utf-8",
    "application/octet-stream",
    "text/event-stream",
)

REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}


class Delivery(Enum):
    """How much of a response reaches the client before the connection ends."""

    WHOLE = auto()
    HALF = auto()
    NOTHING = auto()
    RESET = auto()


@dataclass(slots=True)
class ServerRequest:
    """A request as it came. ``size`` is that of the whole body; of too large a one ``body`` keeps only a part."""

    method: str
    target: bytes
    headers: dict[bytes, bytes]
    body: bytes = b""
    size: int = 0
    keep_alive: bool = True

    @property
    def path(self) -> bytes:
        return self.target.partition(b"?")[0]

    @property
    def query(self) -> bytes:
        return self.target.partition(b"?")[2]


@dataclass(slots=True)
class ServerResponse:
    """An answer. One to HEAD goes without its body; one with ``events`` has no length and ends with the connection."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    delivery: Delivery = Delivery.WHOLE
    head_only: bool = False
    events: ServerEventStream | None = None

    @classmethod
    def error(cls, status: int, text: str) -> ServerResponse:
        return cls(status, to_json({"error": text}))

    @property
    def sent_body(self) -> bytes:
        if self.head_only:
            return b""
        return self.body[: len(self.body) // 2] if self.delivery is Delivery.HALF else self.body

    def head(self, *, keep_alive: bool) -> bytes:
        lines = [f"HTTP/1.1 {self.status} {REASONS[self.status]}", f"Content-Type: {self.content_type}"]
        if self.events is None:
            lines.append(f"Content-Length: {len(self.body)}")
        lines.extend(f"{name}: {value}" for name, value in self.headers.items())
        if not keep_alive or self.events is not None:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
