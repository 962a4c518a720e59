"""
The REST route: commands as JSON over kept-alive HTTPS, replies as base64 in JSON or, for one bulk string, as RESP2.

https://upstash.com/docs/redis/features/restapi
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from django_upstash.credentials import HIDDEN, SecretBytes
from django_upstash.exceptions import ConnectionError, DataError, PayloadTooLargeError
from django_upstash.operations import Command, Reply
from django_upstash.settings.hosts import is_upstash
from django_upstash.version import __version__
from django_upstash.wire.base import aborted, refuse_stateful
from django_upstash.wire.batching import MOST_BYTES, Entry, Lane, SendInThread
from django_upstash.wire.endpoint import Endpoint
from django_upstash.wire.http import HttpWire, Response, unexpected
from django_upstash.wire.raw_bodies import SURELY_NO_DATA, wants_raw_body
from django_upstash.wire.rest_encoding import (
    BULK_COMMANDS,
    RESP2_BEGINNINGS,
    decode_item,
    decode_items,
    decode_resp2,
    encode_command,
    is_redis_error,
    raw_form,
)
from django_upstash.wire.rest_request import Request, is_requests
from django_upstash.wire.retrying import PooledRoute

if TYPE_CHECKING:
    from django_upstash.settings.conf import ConnectionSettings
    from django_upstash.wire.rest_events import EventStream

# A command whose answer is known shows whether a server encodes replies as base64, or ignores the header.
_TELLING: list[Command] = [("PING",)]
_NO_JSON = object()


class RestRoute(PooledRoute[HttpWire, Response]):
    """Commands over Upstash REST, on at most ``MAX_CONNECTIONS`` connections, and as many for each event loop."""

    name = "rest"

    def __init__(self, settings: ConnectionSettings) -> None:
        super().__init__(settings)
        self._endpoint = Endpoint.of(settings)
        self._path, self._headers = _path_and_headers(settings, self._endpoint)
        self._sync_token: bytes | None = None
        # What the server turned out to do. Upstash encodes as documented; others are asked once.
        is_known = True if is_upstash(self._endpoint.host) else None
        self._is_base64: bool | None = is_known
        self._has_resp2: bool | None = None
        self._has_paths: bool | None = is_known

    def execute(
        self, commands: Sequence[Command], *, atomic: bool = False, replay_safe: bool | None = None
    ) -> list[Reply]:
        if self._is_base64 is None and list(commands) != _TELLING:
            self._learn_encoding()
        return self.run(self._requests(commands, atomic, replay_safe))

    async def aexecute(
        self, commands: Sequence[Command], *, atomic: bool = False, replay_safe: bool | None = None
    ) -> list[Reply]:
        if not commands:
            return []
        if self._is_base64 is None and list(commands) != _TELLING:
            await self._lanes.in_thread(self._learn_encoding)
        return await self._lanes.current().submit(self._entry(commands, atomic, replay_safe))

    def run(self, requests: list[Request]) -> list[Reply]:
        """Send requests, and those that take their place, one after the other; return all replies in order."""
        replies: list[Reply] = []
        for request in requests:
            response = self._exchange(request.payload, len(request.commands), request.commands, request.replay_safe)
            outcome = request.read(response)
            replies += self.run(outcome) if is_requests(outcome) else outcome  # type: ignore[arg-type]
        return replies

    def plan(self, batch: list[Entry]) -> list[Request]:
        """Return the requests that carry what several callers of one event loop have to say."""
        first = batch[0]
        if first.alone:
            return self._requests(first.commands, first.is_atomic, first.replay_safe)
        commands = [command for entry in batch for command in entry.commands]
        safe = first.replay_safe if len(batch) == 1 else all(entry.is_replay_safe() for entry in batch)
        return [self._request_of([entry.payload for entry in batch], commands, safe)]

    async def open_events(self, path: str) -> EventStream:
        """Open the stream of server-sent events at a path, such as ``/subscribe/news``, in the running loop."""
        from django_upstash.wire.rest_events import open_events

        form = b"POST %b HTTP/1.1\r\n%bAccept: text/event-stream\r\nContent-Length: 0\r\n\r\n"
        request = SecretBytes(form % ((self._path + path).encode("ascii"), self._headers))
        return await open_events(request, path, self._endpoint, self.settings, self.traffic)

    def _open(self, deadline: float) -> HttpWire:
        return HttpWire(self._endpoint, self.settings, deadline)

    def _make_lane(self, send_in_thread: SendInThread) -> Lane:
        from django_upstash.wire.rest_async import RestLane

        return RestLane(send_in_thread, self, self._endpoint)

    def _exchange_batch(self, batch: list[Entry]) -> list[Reply]:
        return self.run(self.plan(batch))

    def _entry(self, commands: Sequence[Command], atomic: bool, replay_safe: bool | None) -> Entry:
        refuse_stateful(commands)
        if atomic or wants_raw_body(commands):
            self._requests(commands, atomic, replay_safe)  # so that a bad argument fails its caller at once
            return Entry(b"", len(commands), commands, replay_safe, alone=True, is_atomic=atomic)
        payload = b",".join([encode_command(command) for command in commands])
        alone = len(payload) > MOST_BYTES
        return Entry(payload, len(commands), commands, replay_safe, alone=alone)

    # Requests.

    def _requests(self, commands: Sequence[Command], atomic: bool, replay_safe: bool | None) -> list[Request]:
        if not commands:
            return []
        refuse_stateful(commands)
        if len(commands) == 1:
            return [self._single_or_raw(commands[0], replay_safe)]
        encoded = [encode_command(command) for command in commands]
        if atomic:
            return [self._transaction(encoded, commands, replay_safe)]
        return [
            self._request_of(encoded[start:end], commands[start:end], replay_safe)
            for start, end in _chunks(encoded, self.settings.max_request_size)
        ]

    def _request_of(self, encoded: list[bytes], commands: Sequence[Command], replay_safe: bool | None) -> Request:
        if len(commands) == 1:
            return self._single(encoded[0], commands[0], replay_safe)
        return self._pipeline(encoded, commands, replay_safe)

    def _single_or_raw(self, command: Command, replay_safe: bool | None) -> Request:
        if self._has_paths is not False and wants_raw_body((command,)):
            form = raw_form(command)
            if form is not None:
                return self._raw(*form, command, replay_safe)
        return self._single(encode_command(command), command, replay_safe)

    def _single(self, encoded: bytes, command: Command, replay_safe: bool | None) -> Request:
        if self._has_resp2 is not False and self._is_base64 and command[0] in BULK_COMMANDS:
            return self._bulk(encoded, command)

        def read(response: Response) -> list[Reply] | list[Request]:
            return [self._item(response)]

        return Request(self._payload("/", encoded, "base64"), (command,), replay_safe, read)

    def _bulk(self, encoded: bytes, command: Command) -> Request:
        """
        Return a request for a RESP2 answer, which judges itself by its first byte.

        The commands only read, so a server that answers in JSON all the same, and perhaps with bytes replaced, is
        asked again for base64, once, and remembered.
        """

        def read(response: Response) -> list[Reply] | list[Request]:
            if response.body[:1] in RESP2_BEGINNINGS:
                self._keep_sync_token(response.sync_token)
                self._has_resp2 = True
                return [self._raised(decode_resp2(response.body))]
            document = self._document(response)
            if self._has_resp2 and isinstance(document, dict) and "error" in document:
                return [self._raised(decode_item(document, True))]
            self._has_resp2 = False
            return [self._single(encoded, command, None)]

        return Request(self._payload("/", encoded, "resp2"), (command,), None, read)

    def _raw(self, path: str, body: bytes, command: Command, replay_safe: bool | None) -> Request:
        """
        Return a request whose body is the command's one argument of raw bytes.

        Third-party servers may lack the path form or refuse raw bodies, each in its own words. While the form has not
        been seen to work, a refusal (4xx) has the command sent as JSON: what was refused has not run.
        """

        def read(response: Response) -> list[Reply] | list[Request]:
            is_refusal = 400 <= response.status < 500 and response.status not in (401, 403)
            if not is_refusal or self._has_paths:
                reply = self._item(response)
                self._has_paths = self._has_paths or not isinstance(reply, Exception) or None
                return [reply]
            try:
                instead = self._single(encode_command(command), command, replay_safe)
            except DataError:
                return [self._refused_bytes(response)]
            return [replace(instead, read=partial(self._read_instead_of_raw, instead))]

        return Request(self._payload(path, body, "base64", "application/octet-stream"), (command,), replay_safe, read)

    def _read_instead_of_raw(self, request: Request, response: Response) -> list[Reply] | list[Request]:
        replies = request.read(response)
        if not isinstance(replies[0], Exception):
            self._has_paths = False  # the command was not at fault
        return replies

    def _refused_bytes(self, response: Response) -> Reply:
        """Return the database's own refusal of a command; raise ``DataError`` where its raw body was refused."""
        if is_redis_error(response.body):
            return self._item(response)
        raise DataError(
            "This REST server takes no raw bodies, the only form for an argument of bytes that are not UTF-8 text; "
            "encode it as text, or use the native route."
        )

    def _pipeline(self, encoded: list[bytes], commands: Sequence[Command], replay_safe: bool | None) -> Request:
        def read(response: Response) -> list[Reply] | list[Request]:
            document = self._document(response)
            if not isinstance(document, dict):
                return self._items(document, len(commands))
            error = self._raised(decode_item(document, True))
            if isinstance(error, PayloadTooLargeError) and len(encoded) == len(commands):
                # The replies together are too long. They were computed all the same, so only a safe batch is halved.
                halves = self._halves(encoded, commands, replay_safe)
                if halves:
                    return halves
            return [error] * len(commands)

        body = b"[" + b",".join(encoded) + b"]"
        return Request(self._payload("/pipeline", body, "base64"), commands, replay_safe, read)

    def _halves(self, encoded: list[bytes], commands: Sequence[Command], replay_safe: bool | None) -> list[Request]:
        from django_upstash.operations import replay_safe as names_are_replay_safe

        if not (names_are_replay_safe(commands) if replay_safe is None else replay_safe):
            return []
        middle = len(encoded) // 2
        parts = (slice(middle), slice(middle, None))
        return [self._request_of(encoded[part], commands[part], replay_safe) for part in parts]

    def _transaction(self, encoded: list[bytes], commands: Sequence[Command], replay_safe: bool | None) -> Request:
        def read(response: Response) -> list[Reply] | list[Request]:
            document = self._document(response)
            if isinstance(document, dict):
                return aborted(len(commands), self._raised(decode_item(document, True)))
            return self._items(document, len(commands))

        body = b"[" + b",".join(encoded) + b"]"
        return Request(self._payload("/multi-exec", body, "base64"), commands, replay_safe, read)

    def _payload(self, path: str, body: bytes, encoding: str, content_type: str = "application/json") -> bytes:
        format_header = "Upstash-Response-Format: resp2" if encoding == "resp2" else "Upstash-Encoding: base64"
        token = self._sync_token if self.settings.read_your_writes else None
        payload = b"POST %b HTTP/1.1\r\n%b%bContent-Type: %b\r\n%bContent-Length: %d\r\n\r\n%b" % (
            (self._path + path if path != "/" or not self._path else self._path).encode("ascii"),
            self._headers,
            format_header.encode() + b"\r\n",
            content_type.encode(),
            b"Upstash-Sync-Token: %b\r\n" % token if token else b"",
            len(body),
            body,
        )
        return SecretBytes(payload)

    # Responses.

    def _item(self, response: Response) -> Reply:
        document = self._document(response)
        if self._is_base64 is None and isinstance(document, dict) and "result" in document:
            self._is_base64 = document["result"] != "PONG"
        return self._items([document], 1)[0]

    def _items(self, document: Any, count: int) -> list[Reply]:
        return [self._raised(reply) for reply in decode_items(document, count, self._is_base64 is not False)]

    def _document(self, response: Response) -> Any:
        """Return the JSON of a response; raise for one that is not Upstash's."""
        self._keep_sync_token(response.sync_token)
        document = _parsed(self._without_token(response.body))
        if document is _NO_JSON or response.status in (401, 403):
            raise unexpected(response, self.settings.safe_url)
        return document

    def _without_token(self, body: bytes) -> bytes:
        """Return a body that does not echo the token, where results are base64: there it can be none of the data."""
        token: bytes = SecretBytes((self.settings.token or "").encode())
        if len(token) < SURELY_NO_DATA or self._is_base64 is False or token not in body:
            return body
        return body.replace(token, HIDDEN.encode())

    @staticmethod
    def _raised(reply: Reply) -> Reply:
        """Return a reply, raising it where it says that the connection is of no use."""
        if isinstance(reply, ConnectionError):
            raise reply
        return reply

    def _keep_sync_token(self, token: bytes | None) -> None:
        # Answers overtake each other; where tokens are numbers, the later state has the larger one.
        held = self._sync_token
        if token and not (held and held.isdigit() and token.isdigit() and int(token) < int(held)):
            self._sync_token = token

    def _learn_encoding(self) -> None:
        """Ask a server that is not Upstash's own something whose answer shows whether it encodes replies."""
        # Those who come at the same time all ask: under gevent a lock held meanwhile would stop the whole process.
        self.run(self._requests(_TELLING, atomic=False, replay_safe=True))
        if self._is_base64 is None:  # refused, by a quota or a read-only token: taken for Upstash's like
            self._is_base64 = True


def _chunks(encoded: list[bytes], most_bytes: int) -> list[tuple[int, int]]:
    """Return the bounds of runs of commands that fit into one request each."""
    bounds, start, size = [], 0, 2
    for place, text in enumerate(encoded):
        if place > start and size + len(text) + 1 > most_bytes:
            bounds.append((start, place))
            start, size = place, 2
        size += len(text) + 1
    return [*bounds, (start, len(encoded))]


def _path_and_headers(settings: ConnectionSettings, endpoint: Endpoint) -> tuple[str, bytes]:
    parts = settings.parts
    host = parts.netloc.rpartition("@")[2]
    token = settings.token or ""
    if not token.isascii() or not token.isprintable():
        raise DataError("The token has characters that no header can carry; paste it again.")
    lines = [f"Host: {host}", f"Authorization: Bearer {token}", f"User-Agent: django_upstash/{__version__}"]
    path = parts.path.rstrip("/")
    if endpoint.proxy is not None and not endpoint.is_tls:
        path = f"http://{endpoint.authority}{path}"
        lines += endpoint.proxy_authorization()
    if settings.telemetry:
        lines.append(f"Upstash-Telemetry-Sdk: django_upstash@v{__version__}")
    return path, SecretBytes("".join(f"{line}\r\n" for line in lines).encode("latin-1"))


def _parsed(body: bytes) -> Any:
    """Return the JSON of a body, or ``_NO_JSON``: the parser's own error would hold the body."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return _NO_JSON
