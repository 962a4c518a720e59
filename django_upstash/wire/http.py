"""HTTP/1.1 over a kept-alive socket: the request's bytes, the response's reader, and the synchronous wire."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

import httptools

from django_upstash.credentials import SecretBytes
from django_upstash.exceptions import (
    AuthenticationError,
    ConnectionError,
    ProtocolError,
    ServiceUnavailableError,
    TimeoutError,
    TooManyRequestsError,
)
from django_upstash.wire.endpoint import Endpoint
from django_upstash.wire.sockets import LEAST_WAIT, Line, dial, is_quiet, reason
from django_upstash.wire.tls import tls_context
from django_upstash.wire.traffic import Flow

if TYPE_CHECKING:
    from django_upstash.settings.conf import ConnectionSettings
    from django_upstash.wire.places import Place

# Most answers fit in one read; memory is used only as far as they fill it.
READ_SIZE = 262144
_LARGE_REQUEST = 65536  # bytes: more than sockets hold for a server that has stopped reading
_LONGEST_HEAD = 65536  # bytes, of a proxy's answer to CONNECT
_UNAVAILABLE = frozenset({429, 502, 503, 504})
_TOLD_BY_STATUS = frozenset({400, 401, 403, 404, 405, 406, 411, 413, 415, 422})
_BEGINNINGS = (b"{", b"[", b"$", b"-", b"+", b":", b"*")  # of JSON documents and of RESP2 replies


@dataclass(frozen=True)
class Response:
    """A complete HTTP response."""

    status: int
    # None of these is shown: a server may echo the token anywhere.
    body: bytes = field(repr=False)
    sync_token: bytes | None = field(repr=False)
    retry_after: bytes | None = field(default=None, repr=False)


def checked(response: Response, where: str) -> Response:
    """
    Return the response; raise for one that a gateway gave in the server's place.

    Raised here, by the wire, it is a failure of the wire, and commands that may run twice are sent again.
    """
    if response.status in _UNAVAILABLE and b"limit exceeded" not in response.body:
        if response.status == 429:
            raise _too_many(response, where)
        raise ServiceUnavailableError(f"{where} is not available now (HTTP {response.status}).")
    if response.status not in _TOLD_BY_STATUS and response.body.lstrip()[:1] not in _BEGINNINGS:
        raise unexpected(response, where)
    return response


def unexpected(response: Response, where: str) -> ConnectionError:
    """Return the error for a response that no Upstash server sends, the status first: it says more than the body."""
    status = response.status
    if status in (401, 403):
        return AuthenticationError(f"{where} refused the token (HTTP {status}).")
    if status >= 500:
        return ServiceUnavailableError(f"{where} is not available now (HTTP {status}).")
    if status in (404, 405) or 300 <= status < 400:
        return ProtocolError(f"{where} answered HTTP {status}: is it the REST URL of a database?")
    # The body is not quoted: it may be anything, an echo of the request included.
    kind = "empty" if not response.body else "HTML" if response.body.lstrip()[:1] == b"<" else "not JSON"
    return ProtocolError(f"{where} answered HTTP {status} with a body that is {kind}.")


def _too_many(response: Response, where: str) -> TooManyRequestsError:
    told = (response.retry_after or b"").strip()
    seconds = int(told) if told.isdigit() and len(told) < 9 else None
    again = "" if seconds is None else f"; it takes requests again in {seconds} s"
    error = TooManyRequestsError(f"{where} takes no more requests now (HTTP 429){again}.")
    error.retry_after = seconds
    return error


class ResponseReader:
    """Collects one response after the other from what a kept-alive connection receives."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._whole: Response | None = None
        self.keeps_alive = True
        self.has_begun = False
        self.request_size = 0  # of what is answered next, in bytes
        self.on_message_begin()

    def feed(self, data: bytes | memoryview) -> Response | None:
        """Take in bytes; return the response once it is whole. Raises ``ProtocolError`` for what is not HTTP."""
        self.has_begun = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            del data  # which may echo the token, and reports show the variables of frames
            if isinstance(error, httptools.HttpParserCallbackError) and error.__context__ is not None:
                raise error.__context__ from None  # a signal's, which has struck in one of the callbacks below
            raise ProtocolError(f"The answer is not HTTP: {error}.") from error
        whole, self._whole = self._whole, None
        if whole is not None:
            self.has_begun = False
        return whole

    def end(self) -> Response:
        """Say that the peer closed: that ends a response which did not tell its length, and truncates any other."""
        if self._status is None or self._has_length:
            cause = "in the middle of its answer" if self.has_begun else "before it answered"
            error = ProtocolError(f"The server closed the connection {cause}.")
            error.is_outage = error.is_truncated = True
            raise error
        self.keeps_alive = False
        return self._response(self._status)

    def _response(self, status: int) -> Response:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        return Response(status, body, self._sync_token, self._retry_after)

    # httptools' callbacks.

    def on_message_begin(self) -> None:
        if self._whole is not None:
            # A response to nothing follows: nobody may read it as the answer to what is sent next.
            self.keeps_alive = False
        self._status: int | None = None
        self._has_length = False
        self._sync_token: bytes | None = None
        self._retry_after: bytes | None = None
        self._body: list[bytes] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"upstash-sync-token":
            self._sync_token = value
        elif name in (b"content-length", b"transfer-encoding"):
            self._has_length = True
        elif name == b"retry-after":
            self._retry_after = value

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        # An interim response (1xx) is followed by the real one.
        if self._whole is None and self._status is not None and self._status >= 200:
            self._whole = self._response(self._status)
            # A server that refuses a large body may have left it unread, and closes without saying so.
            is_refusal = self._status >= 400 and self.request_size > _LARGE_REQUEST
            self.keeps_alive = self._parser.should_keep_alive() and not is_refusal


class HttpWire:
    """One kept-alive connection to a REST server: sends a request and returns its response."""

    place: Place | None = None
    haste: Place | None = None

    def __init__(self, endpoint: Endpoint, settings: ConnectionSettings, deadline: float) -> None:
        began = monotonic()
        self._line = Line(_open_socket(endpoint, settings, deadline))
        self._reader = ResponseReader()
        self._where = settings.safe_url
        self.flow = Flow()
        self._view = memoryview(bytearray(READ_SIZE))
        self.began = began
        self.idle_since = self.taken = monotonic()
        self.has_sent = self.has_answered = False

    def __del__(self) -> None:
        # One that an exception has lost. Where connecting failed there is no socket.
        if hasattr(self, "flow"):
            self.close()

    @property
    def is_reusable(self) -> bool:
        return self._reader.keeps_alive

    def exchange(self, payload: bytes, count: int, deadline: float) -> Response:
        """Send a request and return its response; raise when it is not whole before the deadline."""
        self.has_sent = False
        self._reader.request_size = len(payload)
        self._line.send(payload, deadline)
        self.has_sent = True
        self.flow.sent += len(payload)
        least = LEAST_WAIT
        while True:
            received = self._line.receive(self._view, deadline, least)
            least = 0.0
            if not received:
                return checked(self._reader.end(), self._where)
            self.flow.received += received
            response = self._reader.feed(self._view[:received])
            if response is not None:
                response = checked(response, self._where)
                self.has_answered = True
                return response

    def is_alive(self) -> bool:
        return is_quiet(self._line.sock)

    def responds(self, deadline: float) -> bool:
        return False  # a request is billed, and takes as long as a new connection

    def close(self) -> None:
        self.flow.ended = True
        self._line.sock.close()


def _open_socket(endpoint: Endpoint, settings: ConnectionSettings, deadline: float) -> socket.socket:
    seconds = deadline - monotonic()
    where = ":".join(map(str, endpoint.dialled))
    try:
        sock = dial(*endpoint.dialled, deadline)
    except OSError as error:
        raise connect_failure(error, where, seconds) from error
    try:
        if endpoint.is_tls:
            if endpoint.proxy is not None:
                _open_tunnel(sock, endpoint, deadline)
            sock.settimeout(max(deadline - monotonic(), LEAST_WAIT))
            sock = tls_context(settings).wrap_socket(sock, server_hostname=endpoint.host)
    except OSError as error:
        sock.close()
        raise connect_failure(error, where, seconds) from error
    except BaseException:
        sock.close()
        raise
    return sock


def _open_tunnel(sock: socket.socket, endpoint: Endpoint, deadline: float) -> None:
    line, byte = Line(sock), bytearray(1)
    head: bytes = SecretBytes()
    line.send(endpoint.tunnel_request(), deadline)
    while b"\r\n\r\n" not in head:
        # A byte at a time, so that nothing of the tunnelled stream is read with the proxy's answer.
        if not line.receive(byte, deadline):
            raise ConnectionError("The proxy closed the connection instead of opening a tunnel.")
        head = SecretBytes(head + byte)  # the proxy may echo its password
        if len(head) > _LONGEST_HEAD:
            raise ProtocolError("The proxy's answer to CONNECT does not end.")
    check_tunnel(head)


def check_tunnel(head: bytes) -> None:
    """Raise unless the proxy's answer to CONNECT is a success."""
    status = TunnelReader().status_of(head)
    if status == 407:
        raise AuthenticationError("The proxy wants a user name and password (407); give them in HTTPS_PROXY.")
    if not 200 <= status < 300:
        raise ConnectionError(f"The proxy refused to open a tunnel to the server (HTTP {status}).")


class TunnelReader:
    """Reads the status of a proxy's answer to CONNECT, which has no body."""

    def status_of(self, head: bytes) -> int:
        parser = httptools.HttpResponseParser(self)
        try:
            parser.feed_data(head)
        except httptools.HttpParserError as error:
            raise ProtocolError(f"The proxy's answer is not HTTP: {error}.") from error
        return int(parser.get_status_code())


def connect_failure(error: OSError, where: str, seconds: float) -> ConnectionError | TimeoutError:
    """Return the error for a connection that could not be opened. Nothing was sent."""
    if isinstance(error, socket.timeout):
        return TimeoutError(f"No connection to {where} within {seconds:g} s; nothing was sent.")
    return ConnectionError(f"Cannot connect to {where}: {reason(error)}; nothing was sent.")
