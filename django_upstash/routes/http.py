"""HTTP/1.1 over a kept-alive socket: the request's bytes, the response's reader, and the synchronous wire."""

from __future__ import annotations

import base64
import socket
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httptools

from django_upstash.conf import is_loopback
from django_upstash.exceptions import (
    AuthenticationError,
    ConnectionError,
    ProtocolError,
    ServiceUnavailableError,
    TimeoutError,
)
from django_upstash.routes.sockets import FITS_THE_KERNEL, is_quiet, reason, receive_before, send_before, timeout_setter
from django_upstash.routes.tls import tls_context
from django_upstash.traffic import Flow

if TYPE_CHECKING:
    from django_upstash.conf import ConnectionSettings

# Most answers fit in one read; memory is used only as far as they fill it.
READ_SIZE = 262144
_UNAVAILABLE = frozenset({429, 502, 503, 504})
_TOLD_BY_STATUS = frozenset({401, 403, 404, 405})
_BEGINNINGS = (b"{", b"[", b"$", b"-")  # of JSON documents and of RESP2 replies


@dataclass(frozen=True)
class Response:
    """A complete HTTP response."""

    status: int
    body: bytes
    sync_token: bytes | None


def checked(response: Response, where: str) -> Response:
    """
    Return the response; raise for one that a gateway gave in the server's place.

    Raised here, by the wire, it is a failure of the wire, and commands that may run twice are sent again.
    """
    if response.status in _UNAVAILABLE and b"limit exceeded" not in response.body:
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


class ResponseReader:
    """Collects one response after the other from what a kept-alive connection receives."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._whole: Response | None = None
        self.keeps_alive = True
        self.has_begun = False
        self.on_message_begin()

    def feed(self, data: bytes | memoryview) -> Response | None:
        """Take in bytes; return the response once it is whole. Raises ``ProtocolError`` for what is not HTTP."""
        self.has_begun = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise ProtocolError(f"The answer is not HTTP: {error}.") from error
        whole, self._whole = self._whole, None
        if whole is not None:
            self.has_begun = False
        return whole

    def end(self) -> Response:
        """Say that the peer closed: that ends a response which did not tell its length, and truncates any other."""
        if self._status is None or self._has_length:
            cause = "in the middle of its answer" if self.has_begun else "before it answered"
            raise ProtocolError(f"The server closed the connection {cause}.")
        self.keeps_alive = False
        return self._response(self._status)

    def _response(self, status: int) -> Response:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        return Response(status, body, self._sync_token)

    # httptools' callbacks.

    def on_message_begin(self) -> None:
        if self._whole is not None:
            # A response to nothing follows: nobody may read it as the answer to what is sent next.
            self.keeps_alive = False
        self._status: int | None = None
        self._has_length = False
        self._sync_token: bytes | None = None
        self._body: list[bytes] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"upstash-sync-token":
            self._sync_token = value
        elif name in (b"content-length", b"transfer-encoding"):
            self._has_length = True

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        # An interim response (1xx) is followed by the real one.
        if self._whole is None and self._status is not None and self._status >= 200:
            self._whole = self._response(self._status)
            self.keeps_alive = self._parser.should_keep_alive()


@dataclass(frozen=True)
class Endpoint:
    """Where requests go: the server, and the proxy on the way to it."""

    host: str
    port: int
    is_tls: bool
    proxy: SplitResult | None = field(repr=False)  # may hold a password

    @classmethod
    def of(cls, settings: ConnectionSettings) -> Endpoint:
        """Return the endpoint of a REST URL, with the proxy the environment names for it (``HTTPS_PROXY``, …)."""
        parts = settings.parts
        host, is_tls = parts.hostname or "", settings.scheme == "https"
        proxy = None if is_loopback(host) or proxy_bypass(host) else getproxies().get(settings.scheme)
        return cls(host, parts.port or (443 if is_tls else 80), is_tls, _proxy_parts(proxy) if proxy else None)

    @property
    def dialled(self) -> tuple[str, int]:
        """Return the host and port to open a socket to."""
        if self.proxy is None:
            return self.host, self.port
        return self.proxy.hostname or "", self.proxy.port or 80

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def tunnel_request(self) -> bytes:
        """Return the request that asks the proxy for a tunnel to the server (RFC 9110, section 9.3.6)."""
        lines = [f"CONNECT {self.authority} HTTP/1.1", f"Host: {self.authority}", *self.proxy_authorization()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def proxy_authorization(self) -> list[str]:
        if self.proxy is None or self.proxy.username is None:
            return []
        userinfo = f"{unquote(self.proxy.username)}:{unquote(self.proxy.password or '')}"
        return [f"Proxy-Authorization: Basic {base64.b64encode(userinfo.encode()).decode()}"]


def _proxy_parts(proxy: str) -> SplitResult:
    parts = urlsplit(proxy if "//" in proxy else f"http://{proxy}")
    if parts.scheme != "http":
        raise ConnectionError(f"The environment names a {parts.scheme}:// proxy; only http:// proxies are supported.")
    return parts


class HttpWire:
    """One kept-alive connection to a REST server: sends a request and returns its response."""

    epoch: object = None

    def __init__(self, endpoint: Endpoint, settings: ConnectionSettings) -> None:
        self._socket = _open_socket(endpoint, settings)
        self._reader = ResponseReader()
        self._where = settings.safe_url
        self._timeout = settings.timeout
        self._limit = timeout_setter(self._socket)
        self._limit(self._timeout)
        self.flow = Flow()
        self._view = memoryview(bytearray(READ_SIZE))
        self.idle_since = monotonic()
        self.has_sent = False

    @property
    def is_reusable(self) -> bool:
        return self._reader.keeps_alive

    def exchange(self, payload: bytes, count: int, deadline: float) -> Response:
        """Send a request and return its response; raise when it is not whole before the deadline."""
        self.has_sent = False
        # What connecting or a first attempt took is the answer's loss: a whole timeout is only for who has it all left.
        is_whole = deadline - monotonic() > 0.95 * self._timeout
        if is_whole and len(payload) <= FITS_THE_KERNEL:
            self._socket.sendall(payload)
        else:
            self._send_before(payload, deadline)
        self.has_sent = True
        self.flow.sent += len(payload)
        received = self._socket.recv_into(self._view) if is_whole else self._receive_before(deadline)
        while True:
            if not received:
                return checked(self._reader.end(), self._where)
            self.flow.received += received
            response = self._reader.feed(self._view[:received])
            if response is not None:
                return checked(response, self._where)
            received = self._receive_before(deadline)

    def is_alive(self) -> bool:
        return is_quiet(self._socket)

    def close(self) -> None:
        self.flow.ended = True
        self._socket.close()

    def _send_before(self, payload: bytes, deadline: float) -> None:
        try:
            send_before(self._socket, payload, self._limit, deadline)
        finally:
            self._limit(self._timeout)

    def _receive_before(self, deadline: float) -> int:
        try:
            return receive_before(self._socket, self._view, self._limit, deadline)
        finally:
            self._limit(self._timeout)


def _open_socket(endpoint: Endpoint, settings: ConnectionSettings) -> socket.socket:
    seconds = settings.connect_seconds
    where = ":".join(map(str, endpoint.dialled))
    try:
        sock = socket.create_connection(endpoint.dialled, timeout=seconds)
    except OSError as error:
        raise connect_failure(error, where, seconds) from error
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if endpoint.is_tls:
            if endpoint.proxy is not None:
                _open_tunnel(sock, endpoint)
            sock = tls_context(settings).wrap_socket(sock, server_hostname=endpoint.host)
    except OSError as error:
        sock.close()
        raise connect_failure(error, where, seconds) from error
    except BaseException:
        sock.close()
        raise
    return sock


def _open_tunnel(sock: socket.socket, endpoint: Endpoint) -> None:
    sock.sendall(endpoint.tunnel_request())
    head = b""
    while b"\r\n\r\n" not in head:
        # A byte at a time, so that nothing of the tunnelled stream is read with the proxy's answer.
        received = sock.recv(1)
        if not received:
            raise ConnectionError("The proxy closed the connection instead of opening a tunnel.")
        head += received
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
