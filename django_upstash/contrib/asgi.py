"""Writing, at the end of an ASGI server's process, what it has counted: Django has no part in the lifespan protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import sync_to_async

from django_upstash import flushing

__all__ = ["flush_at_shutdown"]

# Frameworks and servers annotate these in ways of their own.
Scope = Any
Receive = Any
Send = Any
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def flush_at_shutdown(application: Application) -> Application:
    """
    Return an application that answers the server's ``lifespan`` events, and writes what was counted at ``shutdown``.

    All else goes to ``application``, such as that of ``get_asgi_application()``.
    """

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        else:
            await application(scope, receive, send)

    return wrapped


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.shutdown":
            await sync_to_async(flushing.write_all, thread_sensitive=False)()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
