"""
The page of an outage: the answer to a request that cannot be completed because a Redis server does not respond.

The user may not be known then, so the page says what has happened and what to do, and nothing about the site.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.signals import got_request_exception
from django.http import HttpRequest, HttpResponse
from django.utils.cache import add_never_cache_headers

from django_upstash.log import get_logger

__all__ = ["OutageMiddleware"]

View = TypeVar("View", bound=Callable[..., Any])

RETRY_AFTER = 5  # seconds
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Service unavailable</title>
</head>
<body>
<main>
<h1>Service unavailable</h1>
<p>A database that this site needs does not answer, so this request could not be completed.
You have not been logged out, and nothing of this request was stored in your session.</p>
<p>Try again in a moment. Administrators find the cause, and what to do, with
<code>python manage.py redis_health</code>.</p>
</main>
</body>
</html>
"""
logger = get_logger("django_upstash")


class OutageMiddleware:
    """
    Answers requests that end in an outage with 503 and a page that explains it, in place of 500.

    Views are covered wherever it is in ``MIDDLEWARE``; of the other middleware, what comes after it.
    """

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
        got_request_exception.connect(_note, dispatch_uid="django_upstash.health.unavailable")

    def __call__(self, request: HttpRequest) -> Any:
        if self._is_async:
            return self.__acall__(request)
        return _explained_response(request, self.get_response(request))

    async def __acall__(self, request: HttpRequest) -> Any:
        return _explained_response(request, await self.get_response(request))

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return unavailable(exception) if _is_outage(exception) else None


def _note(sender: Any, request: Any = None, **kwargs: Any) -> None:
    """Keep an outage with the request that Django answers with 500: no middleware gets to see the error of another."""
    if request is not None:
        error = sys.exc_info()[1]
        request._upstash_outage = error if _is_outage(error) else None


def _explained_response(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Return the page of an outage where the response is what Django has made of one in a middleware."""
    error = request.__dict__.pop("_upstash_outage", None)
    return response if error is None or response.status_code != 500 else unavailable(error)


def explained(view: View) -> View:
    """Return the view, whose outages are answered with the page that explains them."""

    @wraps(view)
    def explaining(*args: Any, **kwargs: Any) -> Any:
        try:
            return view(*args, **kwargs)
        except Exception as error:
            if not _is_outage(error):
                raise
            return unavailable(error)

    return explaining  # type: ignore[return-value]


def unavailable(error: BaseException) -> HttpResponse:
    """Return the page, of status 503, and log what has kept the request from being answered."""
    alias = getattr(error, "alias", "") or _away()
    logger.error("Redis cannot be used (%s; connection: %s): the response is 503.", type(error).__name__, alias)
    response = HttpResponse(_PAGE, status=503, headers={"Retry-After": str(RETRY_AFTER)})
    add_never_cache_headers(response)
    return response


def _away() -> str:
    """Return the aliases of the connections whose servers do not answer."""
    from django_upstash.connections import connections  # as below

    away = {one.settings.alias for one in connections.opened() if not one.availability.is_up}
    return ", ".join(sorted(away)) or "unknown"


def _is_outage(error: BaseException | None) -> bool:
    # Imported here: the errors are redis-py's as well, and Django starts without that library.
    from django_upstash.exceptions import ConnectionError, TimeoutError

    return isinstance(error, ConnectionError | TimeoutError)
