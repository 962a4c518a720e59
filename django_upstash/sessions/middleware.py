"""Django's session middleware, which under ASGI awaits the session instead of taking a thread for it."""

from __future__ import annotations

import time
from typing import Any

from django.contrib.sessions import middleware
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from django.utils.http import http_date

from django_upstash.operations.steps import Flow, Method, adrive, drive
from django_upstash.sessions.settings import SessionCookie, session_cookie

__all__ = ["SessionMiddleware"]


class SessionMiddleware(middleware.SessionMiddleware):
    """
    Takes the place of ``django.contrib.sessions.middleware.SessionMiddleware``, for whichever session engine.

    A session that could not be read in this request, with ``ON_FAILURE`` "anonymous", leaves the cookie as it is.
    """

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        return drive(_conclude(request, response))

    async def __acall__(self, request: HttpRequest) -> HttpResponse:
        self.process_request(request)  # makes the session's object, which does no I/O
        get_response: Any = self.get_response
        response = await get_response(request)
        return await adrive(_conclude(request, response))


def _conclude(request: HttpRequest, response: HttpResponse) -> Flow[HttpResponse]:
    """Save the session or have its cookie deleted, whichever it takes, and return the response."""
    session: Any = getattr(request, "session", None)
    if session is None:
        return response
    cookie = session_cookie()
    # Of an error page nothing is saved, and the server of the sessions may be what has failed.
    if cookie.is_saved_every_request and response.status_code < 500 and not session.is_empty():
        yield Method(session, "get", ("",))  # an id of which nothing is stored is found out by reading
    was_accessed = session.accessed
    if cookie.name in request.COOKIES and session.is_empty():
        # django-stubs lacks `samesite`.
        response.delete_cookie(cookie.name, **cookie.place)
        was_accessed = True
    elif _is_to_be_saved(session, response, cookie):
        yield from _save(session, response, cookie)
        was_accessed = True
    if was_accessed:
        patch_vary_headers(response, ("Cookie",))
    return response


def _is_to_be_saved(session: Any, response: HttpResponse, cookie: SessionCookie) -> bool:
    if session.is_empty() or response.status_code >= 500:
        return False
    if getattr(session, "is_unavailable", False):
        return bool(session.modified)  # which raises: what the request changed is not dropped in silence
    return bool(session.modified or cookie.is_saved_every_request)


def _save(session: Any, response: HttpResponse, cookie: SessionCookie) -> Flow[None]:
    lasts = not (yield Method(session, "get_expire_at_browser_close"))
    max_age = (yield Method(session, "get_expiry_age")) if lasts else None
    expires = None if max_age is None else http_date(time.time() + max_age)
    try:
        yield Method(session, "save")
    except UpdateError as error:
        raise SessionInterrupted(
            "The request's session was deleted before the request completed. "
            "The user may have logged out in a concurrent request, for example."
        ) from error
    attributes = {**cookie.place, **cookie.attributes}
    response.set_cookie(cookie.name, session.session_key, max_age=max_age, expires=expires, **attributes)
