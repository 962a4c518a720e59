"""Upstash's JSON and RESP2: commands out of request bodies and paths, replies into response bodies."""

from __future__ import annotations

import json
import re
from binascii import b2a_base64
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias
from urllib.parse import unquote_to_bytes

from django_upstash.dev_server.backend import BackendReply

Command: TypeAlias = list[bytes]

_SURROGATE = re.compile("[\ud800-\udfff]")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class RequestError(Exception):
    """A request, or one command of it, that is refused before anything is executed; the text is the answer's error."""


class StatusReply(bytes):
    """A simple string of RESP."""


def body_value(body: bytes) -> list[Any]:
    """Return the JSON array in a request body; numbers stay as they are written."""
    if not body.strip():
        raise RequestError("EOF")
    try:
        # Upstash reads bytes that are no UTF-8 as U+FFFD, as Go's decoder does.
        value = json.loads(body.decode("utf-8", "replace"), parse_int=str, parse_float=str, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RequestError("ERR the request body is not valid JSON") from error
    if not isinstance(value, list):
        raise RequestError("expected JSON array")
    return value


def command_of(arguments: object) -> Command:
    """Return a command from its JSON array; raise ``RequestError`` for what cannot be an argument."""
    if not isinstance(arguments, list):
        raise RequestError("expected JSON array")
    if not arguments:
        raise RequestError("ERR empty command")
    return [_argument(argument) for argument in arguments]


def commands_of(rows: list[Any]) -> list[Command | RequestError]:
    """Return the commands of a batch, an error in place of each that has an impossible argument."""
    if not rows:
        raise RequestError("ERR empty command")
    return [_command_or_error(row) for row in rows]


def command_in_path(path: bytes, body: bytes, parameters: list[tuple[bytes, bytes]]) -> Command:
    """Return the command of a path such as ``/set/key?EX=100``, with the body as the argument between the two."""
    command = [unescaped(part) for part in path[1:].split(b"/")]
    if body:
        command.append(body)
    for name, value in parameters:
        command.append(name)
        if value:  # ?NX is a word without a value
            command.append(value)
    return command


def query_parameters(query: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the names and values of a query string, in order, as raw bytes."""
    for part in query.split(b"&"):
        if part:
            name, _, value = part.replace(b"+", b" ").partition(b"=")
            yield unescaped(name), unescaped(value)


def unescaped(text: bytes) -> bytes:
    if _BAD_ESCAPE.search(text):
        raise RequestError("ERR invalid percent-encoding in the URL")
    return unquote_to_bytes(text)


def as_text(reply: BackendReply) -> Any:
    """Return a reply as JSON carries it; bytes that are no UTF-8 become U+FFFD."""
    if isinstance(reply, bytes):
        return reply.decode("utf-8", "replace")
    if isinstance(reply, list):
        return [as_text(item) for item in reply]
    return str(reply) if isinstance(reply, Exception) else reply


def as_base64(reply: BackendReply) -> Any:
    """Return a reply with every string encoded, except OK."""
    if isinstance(reply, bytes):
        return "OK" if reply == b"OK" else b2a_base64(reply, newline=False).decode("ascii")
    if isinstance(reply, list):
        return [as_base64(item) for item in reply]
    return str(reply) if isinstance(reply, Exception) else reply


def envelope(reply: BackendReply, encode: Callable[[BackendReply], Any]) -> dict[str, Any]:
    """Return a reply in the object that Upstash answers with."""
    return {"error": str(reply)} if isinstance(reply, Exception) else {"result": encode(reply)}


def to_json(value: object) -> bytes:
    # A lone surrogate, from the text of an error, is not to break the answer.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def to_resp2(reply: BackendReply) -> bytes:
    """Return a reply as RESP2."""
    if isinstance(reply, StatusReply):
        return b"+%b\r\n" % reply
    if isinstance(reply, bytes):
        return b"$%d\r\n%b\r\n" % (len(reply), reply)
    if isinstance(reply, list):
        return b"*%d\r\n" % len(reply) + b"".join(map(to_resp2, reply))
    if isinstance(reply, Exception):
        return b"-%b\r\n" % re.sub(r"[\r\n]+", " ", str(reply)).encode("utf-8", "replace")
    return b"$-1\r\n" if reply is None else b":%d\r\n" % reply


def frames(raw: bytes) -> list[bytes]:
    """Split RESP2 into its replies, each with all that is nested in it."""
    found, start = [], 0
    while start < len(raw):
        end = _frame_end(raw, start)
        found.append(raw[start:end])
        start = end
    return found


def nested_frames(frame: bytes) -> list[bytes]:
    """Split the frame of an array into those of its items."""
    return frames(frame[frame.index(b"\r\n") + 2 :])


def _frame_end(raw: bytes, position: int) -> int:
    pending = 1
    while pending:
        line_end = raw.index(b"\r\n", position)
        kind, rest = raw[position : position + 1], raw[position + 1 : line_end]
        position = line_end + 2
        if kind == b"$" and rest != b"-1":
            position += int(rest) + 2
        elif kind == b"*":
            pending += max(int(rest), 0)
        pending -= 1
    return position


def _command_or_error(row: object) -> Command | RequestError:
    if not isinstance(row, list) or not row:
        return command_of(row)  # raises: the batch as a whole has the wrong shape
    try:
        return command_of(row)
    except RequestError as error:
        return error


def _argument(value: object) -> bytes:
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            return _SURROGATE.sub("\ufffd", value).encode()
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if value is None:
        raise RequestError("ERR null args are not supported")
    raise RequestError(f'ERR unsupported arg type: "{"[" if isinstance(value, list) else "{"}": json.Delim')


def _no_constant(name: str) -> None:
    raise ValueError(name)
