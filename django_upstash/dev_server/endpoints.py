"""The endpoints of Upstash's REST API (https://upstash.com/docs/redis/features/restapi)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import hiredis

from django_upstash.dev_server import commands, encoding
from django_upstash.dev_server.access import Grant, Tokens, is_foreign
from django_upstash.dev_server.backend import Backend, BackendError
from django_upstash.dev_server.control import control
from django_upstash.dev_server.dialect import Dialect, Framed
from django_upstash.dev_server.encoding import Command, RequestError
from django_upstash.dev_server.execution import Executor
from django_upstash.dev_server.faults import Fault, Faults, instead_of_executing, item_error, spoil
from django_upstash.dev_server.http import LARGEST_BODY
from django_upstash.dev_server.messages import EVENTS, RESP2, ServerRequest, ServerResponse
from django_upstash.dev_server.meter import ServerMeter
from django_upstash.dev_server.streams import open_stream
from django_upstash.log import get_logger

logger = get_logger("django_upstash.dev_server")

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT"})
_STREAMS = frozenset({b"SUBSCRIBE", b"PSUBSCRIBE", b"MONITOR"})


@dataclass(frozen=True, slots=True)
class Format:
    """How the client wants its replies."""

    base64: bool
    resp2: bool

    @classmethod
    def of(cls, request: ServerRequest) -> Format:
        wanted = request.headers.get(b"upstash-encoding", b"")
        form = request.headers.get(b"upstash-response-format", b"json")
        if wanted not in (b"", b"base64"):
            raise RequestError("ERR invalid Upstash-Encoding header; it can be base64")
        if form not in (b"json", b"resp2"):
            raise RequestError("ERR invalid Upstash-Response-Format header; it can be json or resp2")
        if wanted and form == b"resp2":
            raise RequestError("ERR Upstash-Encoding: base64 is not permitted with Upstash-Response-Format: resp2")
        return cls(bool(wanted), form == b"resp2")

    def envelope(self, reply: Framed) -> dict[str, object]:
        return encoding.envelope(reply[0], encoding.as_base64 if self.base64 else encoding.as_text)


class Endpoints:
    """Turns requests into commands for the backend, and their replies into responses."""

    def __init__(self, backend: Backend, tokens: Tokens, meter: ServerMeter, faults: Faults) -> None:
        self._backend = backend
        self._executor = Executor(backend, Dialect(backend.lacks, tokens.by_user()), meter)
        self._tokens = tokens
        self._meter = meter
        self._faults = faults

    async def respond(self, request: ServerRequest) -> ServerResponse:
        """Answer a request. Never raises."""
        try:
            response = await self._admit(request)
        except RequestError as error:
            response = ServerResponse.error(400, str(error))
        except Exception:
            logger.exception("A request could not be answered.")
            response = ServerResponse.error(500, "ERR internal error of the local server")
        response.head_only = request.method == "HEAD"
        return response

    async def _admit(self, request: ServerRequest) -> ServerResponse:
        if is_foreign(request):
            return ServerResponse.error(403, "ERR the local server answers only to localhost and to loopback addresses")
        parameters = list(encoding.query_parameters(request.query))
        is_control = request.path.startswith(b"/_local/")
        if request.method not in _METHODS and not is_control:
            return ServerResponse(
                200 if request.method == "OPTIONS" else 405, headers={"Allow": "HEAD, GET, POST, PUT"}
            )
        grant = self._tokens.grant(request, parameters)
        if grant is Grant.NOTHING or (is_control and grant is Grant.READ_ONLY):
            return ServerResponse.error(401, commands.UNAUTHORIZED)
        if is_control:
            return control(request, self._meter, self._faults)
        words = [(name, value) for name, value in parameters if name != b"_token"]
        response = await self._metered(request, words, read_only=grant is Grant.READ_ONLY)
        response.headers["Upstash-Sync-Token"] = self._executor.sync_token
        return response

    async def _metered(
        self, request: ServerRequest, words: list[tuple[bytes, bytes]], *, read_only: bool
    ) -> ServerResponse:
        self._meter.received(request.size)
        fault = self._faults.take(request.path.decode("latin-1"))
        if fault is not None and not fault.executes:
            response = _failed(request, fault)
        else:
            response = await self._refusable(request, words, read_only=read_only)
            if fault is not None:
                response = await spoil(fault, response)
        self._meter.sent(len(response.sent_body))
        return response

    async def _refusable(
        self, request: ServerRequest, words: list[tuple[bytes, bytes]], *, read_only: bool
    ) -> ServerResponse:
        try:
            return await self._execute(request, words, read_only=read_only)
        except RequestError as error:
            return ServerResponse.error(400, str(error))
        except RecursionError:
            return ServerResponse.error(400, "ERR the reply is nested too deeply for the local server")
        except BackendError as error:
            return ServerResponse.error(503, f"ERR {error}")

    async def _execute(
        self, request: ServerRequest, words: list[tuple[bytes, bytes]], *, read_only: bool
    ) -> ServerResponse:
        form = Format.of(request)
        if request.size > LARGEST_BODY:
            raise RequestError(commands.size_refusal(request.size, LARGEST_BODY))
        if request.path in (b"/pipeline", b"/multi-exec"):
            if request.method != "POST":
                return ServerResponse(405, headers={"Allow": "POST"})
            return await self._batch(request, form, read_only=read_only)
        if request.path == b"/":
            command = encoding.command_of(encoding.body_value(request.body))
        else:
            command = encoding.command_in_path(request.path, request.body, words)
            if command[0].upper() in _STREAMS:
                # The SDKs send a body, such as [], which is no further name.
                command = encoding.command_in_path(request.path, b"", words)
                return await self._stream(request, command, read_only=read_only)
        return await self._single(command, form, read_only=read_only)

    async def _single(self, command: Command, form: Format, *, read_only: bool) -> ServerResponse:
        [answer] = await self._executor.run([command], read_only=read_only, framed=form.resp2)
        status = 400 if isinstance(answer[0], Exception) else 200
        if form.resp2:
            return ServerResponse(status, _resp2([answer]), RESP2)
        return ServerResponse(status, encoding.to_json(form.envelope(answer)))

    async def _batch(self, request: ServerRequest, form: Format, *, read_only: bool) -> ServerResponse:
        given = encoding.commands_of(encoding.body_value(request.body))
        if request.path == b"/multi-exec":
            answers = await self._executor.run_atomic(given, read_only=read_only)
        else:
            answers = await self._executor.run(given, read_only=read_only, framed=form.resp2)
            if form.resp2:
                return ServerResponse(200, _resp2(answers), RESP2)
        return ServerResponse(200, encoding.to_json([form.envelope(answer) for answer in answers]))

    async def _stream(self, request: ServerRequest, command: Command, *, read_only: bool) -> ServerResponse:
        if request.method == "HEAD":
            return ServerResponse(405, headers={"Allow": "GET, POST, PUT"})
        if read_only and command[0].upper() == b"MONITOR":
            raise RequestError(commands.no_permission("MONITOR"))
        try:
            events = await open_stream(self._backend, command)
        except hiredis.ReplyError as error:
            raise RequestError(commands.error_text(str(error))) from error
        self._executor.account_for(commands.word(command[0]))
        return ServerResponse(200, content_type=EVENTS, headers={"Cache-Control": "no-cache"}, events=events)


def _failed(request: ServerRequest, fault: Fault) -> ServerResponse:
    text = item_error(fault)
    if text is None or request.path != b"/pipeline":
        return instead_of_executing(fault)
    return ServerResponse(200, encoding.to_json([{"error": text} for _ in encoding.body_value(request.body)]))


def _resp2(answers: Sequence[Framed]) -> bytes:
    return b"".join(encoding.to_resp2(reply) if frame is None else frame for reply, frame in answers)
