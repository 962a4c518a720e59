"""Commands as Upstash REST takes them, and its replies as every route returns them."""

from __future__ import annotations

import re
from binascii import a2b_base64
from json.encoder import encode_basestring
from typing import Any
from urllib.parse import quote, quote_from_bytes

import hiredis

from django_upstash.codecs import Encoded
from django_upstash.exceptions import DataError, ProtocolError
from django_upstash.operations import Argument, Command, Reply
from django_upstash.wire.error_lines import server_error

# Single commands answered by one bulk string, which RESP2 carries a third shorter and far faster than base64 in JSON.
BULK_COMMANDS = frozenset({"DUMP", "ECHO", "GET", "GETRANGE", "HGET", "LINDEX"})
# A body of its own is worth a request form of its own from here on; below, a third more bytes cost less than that.
RAW_BODY_FROM = 1024

# Of RESP2 replies, however plain a front's own are; JSON documents begin with a brace or a bracket.
RESP2_BEGINNINGS = (b"$", b"-", b"+", b":", b"*")

_TRUNCATED = object()
_REDIS_ERROR = re.compile(rb'\s*\{\s*"error"\s*:\s*"[A-Z]+ ')


def encode_command(command: Command) -> bytes:
    """
    Return one command as JSON text.

    Every argument is a JSON string: servers written in Go read numbers as floats. Raises ``DataError`` for bytes that
    are not text, unless they are ``Encoded`` and say how they travel as text.
    """
    try:
        return f"[{','.join([encode_basestring(_text(argument)) for argument in command])}]".encode()
    except UnicodeEncodeError:
        raise DataError("An argument has a lone surrogate, which UTF-8 cannot carry.") from None


def _text(argument: Argument) -> str:
    kind = type(argument)
    if kind is str:
        return argument  # type: ignore[return-value]
    if isinstance(argument, Encoded):
        return argument.as_text()
    if isinstance(argument, bytes):
        return _bytes_as_text(argument)
    if isinstance(argument, str):
        return str.__str__(argument)
    if isinstance(argument, bool) or not isinstance(argument, int | float):
        raise DataError(f"An argument is {type(argument).__name__}; commands take str, bytes, int and float.")
    if isinstance(argument, float):
        return float.__repr__(argument)
    if argument.bit_length() > 64:
        raise DataError("An integer argument has more than 64 bits; send it as str.")
    return int.__repr__(argument)


def _bytes_as_text(argument: bytes) -> str:
    try:
        return argument.decode()
    except UnicodeDecodeError:
        raise DataError(
            "An argument is bytes that are not UTF-8 text. Over REST only one such argument can be sent, alone and "
            "as the last or before options in pairs; encode it as text, or use the native route."
        ) from None


def raw_form(command: Command) -> tuple[str, bytes] | None:
    """
    Return a path and a body that carry the command's one argument of raw bytes, or None where there is no such form.

    ``POST /SET/key?PX=5000`` with the value as body is ``SET key <body> PX 5000``: arguments before the value are
    segments of the path, those after it pairs of the query.
    """
    places = [place for place, argument in enumerate(command) if isinstance(argument, bytes) and not _is_text(argument)]
    if len(places) != 1 or len(command) - places[0] - 1 & 1:
        return None
    before, body, after = command[: places[0]], command[places[0]], command[places[0] + 1 :]
    segments = [_quoted(argument) for argument in before]
    if not all(segments) or not body or any(segment in (".", "..") for segment in segments):
        return None
    pairs = [f"{_quoted(name)}={_quoted(value)}" for name, value in zip(after[::2], after[1::2], strict=True)]
    path = "/" + "/".join(segments) + ("?" + "&".join(pairs) if pairs else "")
    return path, bytes(body)  # type: ignore[arg-type]


def _is_text(argument: bytes) -> bool:
    try:
        argument.decode()
    except UnicodeDecodeError:
        return False
    return True


def _quoted(argument: Argument) -> str:
    if isinstance(argument, bytes):
        return quote_from_bytes(argument, safe="")
    return quote(_text(argument), safe="")


def decode_item(item: Any, is_base64: bool) -> Reply:
    """Return the reply in ``{"result": …}`` or ``{"error": …}``."""
    if isinstance(item, dict):
        error = item.get("error")
        if isinstance(error, str) and error:
            return server_error(error)
        if "result" in item:
            try:
                return decode_result(item["result"], is_base64)
            except RecursionError:
                raise ProtocolError("The server's answer is nested too deeply for a Redis reply.") from None
            except ValueError:
                raise ProtocolError("The server's answer is not base64, though it had been asked for.") from None
    raise ProtocolError("The answer has neither a result nor an error.")


def is_redis_error(body: bytes) -> bool:
    """Tell whether an answer is the database's error, which begins with a code, and not one of a server before it."""
    return _REDIS_ERROR.match(body) is not None


def decode_result(result: Any, is_base64: bool) -> Reply:
    """Return a result as the Redis protocol would have brought it: bytes, int, None, or a list of these."""
    if isinstance(result, str):
        # A plain OK is a status: padded base64 never has two characters.
        return a2b_base64(result, strict_mode=True) if is_base64 and result != "OK" else result.encode()
    if result is None or type(result) is int:
        return result
    if isinstance(result, list):
        return [decode_result(element, is_base64) for element in result]
    if isinstance(result, float):
        return repr(result).encode()
    raise ProtocolError(f"The server's answer holds a JSON {type(result).__name__}, which no Redis reply is.")


def decode_resp2(body: bytes) -> Reply:
    """Return the one reply of a RESP2 body; raise ``ProtocolError`` where it is truncated or something follows."""
    reader = hiredis.Reader(protocolError=ProtocolError, replyError=server_error, notEnoughData=_TRUNCATED)
    reader.feed(body)
    reply: Any = reader.gets()
    if reply is _TRUNCATED or reader.has_data():
        raise ProtocolError("The server's RESP2 answer is truncated or has more than one reply.")
    return reply  # type: ignore[no-any-return]


def decode_items(document: Any, count: int, is_base64: bool) -> list[Reply]:
    """Return the ``count`` replies of a pipeline's answer."""
    if not isinstance(document, list) or len(document) != count:
        raise ProtocolError(f"The server answered {count} commands with something else than {count} replies.")
    return [decode_item(item, is_base64) for item in document]
