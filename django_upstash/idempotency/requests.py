"""What tells one request from another: who sends it, where to, and what it asks for."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from django.http import HttpRequest

from django_upstash.idempotency import bodies
from django_upstash.idempotency.keys import canonical_json
from django_upstash.sessions.settings import session_cookie

# Where no user is known yet, what a client proves to be somebody with.
_CREDENTIALS = ("HTTP_AUTHORIZATION", "HTTP_X_API_KEY")


def django_request(request: Any) -> HttpRequest:
    """Return Django's request, also of Django REST framework's, which wraps it."""
    wrapped = getattr(request, "_request", request)
    if not isinstance(wrapped, HttpRequest):
        raise TypeError(f"A request must be Django's or Django REST framework's, not {type(wrapped).__name__}.")
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
    return f"client:{who}" + _digest(*shown, plain.COOKIES.get(session_cookie().name, ""))


def scope(request: Any, who: str, key: str) -> str:
    """Return the key of the store for a header's key: a digest of principal, host, method, path, and key."""
    plain = django_request(request)
    return _digest(who, plain.get_host(), plain.method or "", plain.path, key)


def payload(request: Any) -> bytes:
    """
    Return what a request asks for: query, content type and body.

    Of a multipart form, whose boundary differs in each request, the parts count. The request stays as it is.
    """
    plain = django_request(request)
    head = canonical_json([plain.META.get("QUERY_STRING", ""), plain.content_type or ""])
    return head + b"\n" + bodies.digest(request, plain)


def _digest(*parts: str) -> str:
    # Not keyed: a key that is found by it must be found after SECRET_KEY has changed, too.
    return sha256(canonical_json(parts)).hexdigest()
