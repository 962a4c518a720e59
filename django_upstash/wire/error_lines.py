"""A server's error lines as exceptions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from django_upstash.credentials import known
from django_upstash.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,
    ExecAbortError,
    MaxConnectionsError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    PayloadTooLargeError,
    QuotaExceededError,
    ReadOnlyError,
    ResponseError,
    UnknownCommandError,
)

if TYPE_CHECKING:
    from redis.exceptions import RedisError as _ReplaceableBase
else:

    class _ReplaceableBase(Exception):
        """The base until redis-py is imported: Python lets a class be replaced as a base, but not Exception itself."""


# Codes as they lead an error line (https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors).
# redis-py drops a known code from the message; so do we, so that texts compare equal.
_BY_CODE: dict[str, type[ResponseError | ConnectionError]] = {
    "ERR": ResponseError,
    "NOAUTH": AuthenticationError,
    "WRONGPASS": AuthenticationError,
    "LOADING": BusyLoadingError,
    "MASTERDOWN": BusyLoadingError,
    "NOSCRIPT": NoScriptError,
    "NOPERM": NoPermissionError,
    "READONLY": ReadOnlyError,
    "OOM": OutOfMemoryError,
    "EXECABORT": ExecAbortError,
}


_BY_PHRASE: dict[str, type[ResponseError | ConnectionError]] = {
    "unknown command": UnknownCommandError,
    "Command is not available": UnknownCommandError,
    "max number of clients reached": MaxConnectionsError,
    "max concurrent connections exceeded": MaxConnectionsError,
    "max requests limit exceeded": QuotaExceededError,
    "max daily request limit exceeded": QuotaExceededError,
    "max request size exceeded": PayloadTooLargeError,
    "max single record size exceeded": PayloadTooLargeError,
    "max key size exceeded": PayloadTooLargeError,
    "DB capacity quota exceeded": OutOfMemoryError,
    "ACL failure in script": NoPermissionError,
}


# Servers echo what they were sent, so everything from here on may be somebody's secret.
_ECHO = re.compile(r",? with args beginning with:.*| Key was: .*|\n.*", re.DOTALL)


_CODE = re.compile(r"[A-Z][A-Z0-9_]+(?= |$)")


# What is quoted was sent by a client, and may read like any code.
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")


_KNOWN = rf"(?P<code>{'|'.join(_BY_CODE)})(?= |$)|(?P<phrase>{'|'.join(map(re.escape, _BY_PHRASE))})"


# A server in front puts words of its own before the error that it was told: "Command failed: NOSCRIPT No matching…",
# "(error) NOSCRIPT …". Redis 6 does the same to the errors of a script's commands: "… @user_script: 1: -OOM …".
_PASSED_ON = re.compile(rf"(?:: |\) |\] | - )-?(?:{_KNOWN})")


_IN_SCRIPT = re.compile(rf"user_script: ?\d+: -?(?:{_KNOWN})")


_LONGEST_TEXT = 300


def server_error(text: str) -> ResponseError | ConnectionError:
    """Return the error for a server's error line, ``"CODE text"``, without the arguments it echoes."""
    text = _ECHO.sub("", text)
    code, _, detail = text.partition(" ")
    kind = _BY_CODE.get(code)
    if kind is None:
        if not _CODE.match(text) and (found := _first_known(_PASSED_ON, text)):
            return found
        return ResponseError(_shown(f"{code} {detail}"))
    if kind is ResponseError:
        return _of_detail(detail)
    return kind(_shown(detail))


def _shown(text: str) -> str:
    """Return what an error says of a server's text: a server in front may quote the token, or all of the request."""
    return known.cut_from(text)[:_LONGEST_TEXT]


def _of_detail(detail: str) -> ResponseError | ConnectionError:
    """Return the error of a line whose code is ERR, which says nothing: the words after it do."""
    for phrase, kind in _BY_PHRASE.items():
        if detail.startswith(phrase):
            return kind(_shown(detail))
    # What runs has been found, so NOSCRIPT in a script's error is the script's own word.
    if (found := _first_known(_IN_SCRIPT, detail)) and not isinstance(found, NoScriptError):
        return found
    if "script" not in detail.partition(": ")[0] and (found := _first_known(_PASSED_ON, detail)):
        return found
    return ResponseError(_shown(detail))


def _first_known(pattern: re.Pattern[str], text: str) -> ResponseError | ConnectionError | None:
    """Return the error of the first known code or phrase where the pattern expects one, and nothing was quoted."""
    match = pattern.search(_QUOTED.sub(lambda quoted: "'" + "." * (len(quoted[0]) - 2) + "'", text))
    if match is None:
        return None
    if match["phrase"]:
        return _BY_PHRASE[match["phrase"]](_shown(text[match.start("phrase") :]))
    rest = text[match.end("code") :].lstrip()
    kind = _BY_CODE[match["code"]]
    return _of_detail(rest) if kind is ResponseError else kind(_shown(rest))
