"""What tells one request from another: who sends it, where to, and what it asks for."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest
from django.http.request import RawPostDataException

from django_upstash import conf
from django_upstash.idempotency.keys import canonical_json

# Where no user is known yet, what a client proves to be somebody with.
_CREDENTIALS = ("HTTP_AUTHORIZATION", "HTTP_X_API_KEY")


def django_request(request: Any) -> HttpRequest:
    """Return Django's request, also of Django REST framework's, which wraps it."""
    wrapped = getattr(request, "_request", request)
    assert isinstance(wrapped, HttpRequest)
    return wrapped


def principal(request: Any, user: Any) -> str:
    """
    Return who sends a request: the user, by class and primary key.

    Somebody who is not logged in is known by credentials and session cookie, and without these is one with all others.
    So is a user without a primary key, by what it calls itself too.
    """
    who = ""
    if user is not None and getattr(user, "is_authenticated", False):
        meta = getattr(user, "_meta", None)
        kind = type(user).__qualname__ if meta is None else meta.label_lower
        pk = getattr(user, "pk", None)
        if pk is not None:
            return f"user:{kind}:{pk}"
        who = f"{kind}:{user}:"
    plain = django_request(request)
    shown = [plain.META.get(name, "") for name in _CREDENTIALS]
    shown.append(str(getattr(request, "auth", None) or ""))  # of Django REST framework
    return f"client:{who}" + _digest(*shown, plain.COOKIES.get(conf.session_cookie().name, ""))


def scope(request: Any, who: str, key: str) -> str:
    """Return the key of the store for a header's key: a digest of principal, host, method, path, and key."""
    plain = django_request(request)
    return _digest(who, plain.get_host(), plain.method or "", plain.path, key)


def payload(request: Any) -> bytes:
    """
    Return what a request asks for: query, content type and body.

    Of a form with files, whose boundary each client makes up anew, it is the fields and the files' digests.
    """
    plain = django_request(request)
    head = canonical_json([plain.META.get("QUERY_STRING", ""), plain.content_type or ""])
    return head + b"\n" + _body(request, plain)


def _body(request: Any, plain: HttpRequest) -> bytes:
    if plain.content_type == "multipart/form-data":
        fields, files = _form(request, plain)
        return canonical_json([*_fields(fields), *_files(files)])
    try:
        return plain.body
    except RawPostDataException:
        if request is plain:
            raise
        return canonical_json(_plain(request.data))  # what a parser of Django REST framework has read from the stream


def _form(request: Any, plain: HttpRequest) -> tuple[Any, Any]:
    """Return fields and files. Django reads forms of POST only, and says of others that they have none."""
    if plain.method == "POST":
        return plain.POST, plain.FILES
    if request is not plain:
        return request.POST, request.FILES
    parsed: tuple[Any, Any] = plain.parse_file_upload(plain.META, BytesIO(plain.body))
    return parsed


def _fields(fields: Any) -> list[Any]:
    return [[name, values] for name, values in sorted(fields.lists())]


def _files(uploads: Any) -> Iterator[Any]:
    for name, files in sorted(uploads.lists()):
        for file in files:
            yield [name, file.name, file.content_type, _file_digest(file)]


def _file_digest(file: UploadedFile[Any]) -> str:
    digest = sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()


def _plain(data: Any) -> Any:
    lists = getattr(data, "lists", None)
    return data if lists is None else [[name, [str(value) for value in values]] for name, values in sorted(lists())]


def _digest(*parts: str) -> str:
    # Not keyed: a key that is found by it must be found after SECRET_KEY has changed, too.
    return sha256(canonical_json(parts)).hexdigest()
