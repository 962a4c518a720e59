"""
REST servers that other people write: a front of the local server with their habits.

    with RestFront(local_server, rounds_integers=True, refuses_raw_bodies=True) as front:
        settings.UPSTASH = {"default": front.settings}

Each habit was seen on a server that Upstash's own pages or users' repositories recommend for development.
"""

from __future__ import annotations

import json
import threading
from decimal import Decimal
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from django_upstash.dev_server import LocalServer

_PASSED_ON = ("Authorization", "Content-Type", "Upstash-Encoding", "Accept")
_INVALID_CONTENT_TYPE = b'{"error":"Invalid content type. Expected application/json."}'


class RestFront:
    """
    An HTTP server on a loopback port that passes requests on to a ``LocalServer``, and knows no RESP2.

    ``rounds_integers`` lets integers pass through a double, as servers in JavaScript do, ``refuses_raw_bodies`` answers
    400 to a body that is not called JSON, as Serverless Redis HTTP does, and ``error_prefix`` is put in front of every
    error, whose status is then 500. ``requests`` counts those that came.
    """

    def __init__(
        self,
        server: LocalServer,
        *,
        rounds_integers: bool = False,
        refuses_raw_bodies: bool = False,
        error_prefix: str = "",
    ) -> None:
        self.token = server.token
        self.upstream = urlsplit(server.url).netloc
        self.rounds_integers = rounds_integers
        self.refuses_raw_bodies = refuses_raw_bodies
        self.error_prefix = error_prefix
        self.requests = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def settings(self) -> dict[str, Any]:
        """What ``UPSTASH`` holds for a connection to it."""
        return {"URL": self.url, "TOKEN": self.token}

    def __enter__(self) -> Self:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def changed(self, body: bytes) -> tuple[bytes, bool]:
        """Return an answer as this server gives it, and whether it is one error."""
        document = json.loads(body, parse_int=as_double if self.rounds_integers else int)
        for item in document if isinstance(document, list) else [document]:
            if self.error_prefix and "error" in item:
                item["error"] = self.error_prefix + item["error"]
        return json.dumps(document).encode(), isinstance(document, dict) and "error" in document

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        front = self

        class Handler(_Handler):
            @property
            def front(self) -> RestFront:  # type: ignore[override]
                return front

        return Handler


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    front: RestFront

    def do_GET(self) -> None:
        self._respond(None)

    def do_POST(self) -> None:
        self._respond(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _respond(self, body: bytes | None) -> None:
        self.front.requests += 1
        if body and self.front.refuses_raw_bodies and self.headers["Content-Type"] != "application/json":
            return self._send(400, _INVALID_CONTENT_TYPE)
        upstream = HTTPConnection(self.front.upstream, timeout=60)
        try:
            headers = {name: value for name in _PASSED_ON if (value := self.headers[name])}
            upstream.request(self.command, self.path, body, headers)
            self._pass_on(upstream.getresponse())
        except OSError:  # an end of the exchange has gone
            self.close_connection = True
        finally:
            upstream.close()

    def _pass_on(self, response: HTTPResponse) -> None:
        if (response.headers["Content-Type"] or "").startswith("text/event-stream"):
            return self._stream(response)
        body, is_error = self.front.changed(response.read())
        return self._send(500 if is_error and self.front.error_prefix else response.status, body)

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, response: HTTPResponse) -> None:
        self.close_connection = True
        self.send_response(response.status)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        while piece := response.read1(65536):
            self.wfile.write(piece)


def as_double(digits: str) -> int:
    """Return an integer as JavaScript's ``JSON.stringify`` writes it: the shortest digits of its double, and zeros."""
    return int(Decimal(repr(float(digits))))
