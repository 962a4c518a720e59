"""Asynchronous work that goes on to its end, although the client that asked for it has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from django_upstash.log import get_logger

Work = Coroutine[Any, Any, HttpResponseBase]
# The event loop itself keeps weak references only.
_running: set[asyncio.Task[HttpResponseBase]] = set()

logger = get_logger("django_upstash.idempotency")


async def to_its_end(request: HttpRequest, work: Work) -> HttpResponseBase:
    """
    Return the response that ``work`` makes; where the caller is cancelled, let the work go on without it.

    The end of the process cancels the work, too. Its exceptions are the caller's, or logged where that has gone.
    """
    context, close = copy_context(), _postponed_close(request)
    task = asyncio.create_task(work, context=context)
    _running.add(task)
    task.add_done_callback(_running.discard)
    try:
        response = await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            task.add_done_callback(lambda ended: _begin_closing(ended, request, close))
        raise
    finally:
        if task.done():
            request.close = close  # type: ignore[method-assign]
            _restore(context)
    return response


def _postponed_close(request: HttpRequest) -> Callable[[], None]:
    """Let nobody close what a request has open while the work goes on; return what closes it."""
    close = request.close
    request.close = lambda: None  # type: ignore[method-assign]
    return close


def _restore(context: Context) -> None:
    """Let the caller see the context variables that the work has set."""
    for variable, value in context.items():
        if variable.get(_UNSET) is not value:
            variable.set(value)


_UNSET: Any = object()


def _begin_closing(ended: asyncio.Task[HttpResponseBase], request: HttpRequest, close: Callable[[], None]) -> None:
    request.close = close  # type: ignore[method-assign]
    if ended.cancelled():
        close()
        return
    closing = ended.get_loop().create_task(_close(ended, close))
    _closing.add(closing)
    closing.add_done_callback(_closing.discard)


_closing: set[asyncio.Task[None]] = set()


async def _close(ended: asyncio.Task[HttpResponseBase], close: Callable[[], None]) -> None:
    """Do for a response that nobody waits for what the server would: render it, which stores it, and close it."""
    try:
        response: Any = ended.result()
        if not getattr(response, "is_rendered", True):
            await sync_to_async(response.render)()
        await sync_to_async(response.close)()
    except Exception:
        logger.exception("A request whose client has gone ended in an error.")
    finally:
        close()
