"""
What a request carries, read without consuming it: later readers find the request unchanged.

A body that nobody has read is copied, into memory or a temporary file, and takes the place of the request's stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from django.http import HttpRequest
from django.http.request import RawPostDataException, UnreadablePostError

from django_upstash.idempotency.described import described
from django_upstash.idempotency.keys import canonical_json
from django_upstash.idempotency.multipart import PartsDigest
from django_upstash.settings import conf

_CHUNK = 64 * 1024
_LONGEST_AS_IT_IS = 1024 * 1024


def digest(request: Any, plain: HttpRequest) -> bytes:
    """
    Return what represents a request's body: the body, or its digest if it is large.

    Of a multipart form, whose boundary differs in each request, it is the digest of its parts. Where the body was
    read before, it is what Django or a parser of Django REST framework has made of it. Raises
    ``RawPostDataException`` where it was read by something that has kept nothing.
    """
    stream = _unread(plain)
    if stream is not None:
        return _of_stream(plain, stream)
    if hasattr(plain, "_body"):
        return _of_stream(plain, BytesIO(plain.body))
    if request is not plain and "_full_data" in vars(request):
        return canonical_json(described(request.data))
    if hasattr(plain, "_post"):
        return canonical_json([described(plain.POST), described(plain.FILES)])
    raise RawPostDataException("The body of this request was read before: name a fingerprint, which need not read it.")


def keep(plain: HttpRequest) -> None:
    """Copy a body that nobody has read, so that it outlasts the connection it comes by."""
    _unread(plain)


def _unread(plain: HttpRequest) -> IO[bytes] | None:
    """Return the body as a file at its beginning; None where somebody has read it."""
    if getattr(plain, "_read_started", False) or hasattr(plain, "_body"):
        return None
    stream = getattr(plain, "_stream", None)
    if not isinstance(stream, _Copy):
        stream = _copied(plain, BytesIO() if stream is None else stream)
    stream.seek(0)
    return stream


def _copied(plain: HttpRequest, stream: Any) -> _Copy:
    most_in_memory, directory = conf.setting("FILE_UPLOAD_MAX_MEMORY_SIZE"), conf.setting("FILE_UPLOAD_TEMP_DIR")
    copy = _Copy(max_size=most_in_memory, dir=directory)
    try:
        for chunk in _chunks(stream):
            copy.write(chunk)
    except OSError as error:
        copy.close()
        raise UnreadablePostError(*error.args) from error
    vars(plain)["_stream"] = copy
    close = plain.close

    def close_both() -> None:
        close()
        copy.close()

    plain.close = close_both  # type: ignore[method-assign]
    return copy


class _Copy(SpooledTemporaryFile[bytes]):
    """A body in memory, or in a file where it is large, which ends with its request."""

    def __del__(self) -> None:
        self.close()


def _of_stream(plain: HttpRequest, stream: IO[bytes]) -> bytes:
    boundary = (plain.content_params or {}).get("boundary", "")
    if plain.content_type == "multipart/form-data" and boundary:
        return _of_parts(boundary, stream)
    first = stream.read(_LONGEST_AS_IT_IS)
    whole = sha256(first)
    is_whole = len(first) < _LONGEST_AS_IT_IS
    for chunk in _chunks(stream):
        whole.update(chunk)
    stream.seek(0)
    return first if is_whole else b"sha256 " + whole.hexdigest().encode()


def _of_parts(boundary: str, stream: IO[bytes]) -> bytes:
    parts = PartsDigest(boundary.encode("utf-8", "surrogateescape"))
    for chunk in _chunks(stream):
        parts.update(chunk)
    stream.seek(0)
    return b"parts " + parts.hexdigest().encode()


def _chunks(stream: Any) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk
