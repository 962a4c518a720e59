"""The local server as an object: an event loop in a thread of its own, listening on loopback."""

from __future__ import annotations

import asyncio
import secrets
import threading
from concurrent.futures import Future
from types import TracebackType
from typing import Any

from django_upstash.dev_server.access import Tokens
from django_upstash.dev_server.backend import Address, Backend
from django_upstash.dev_server.dialect import WANTED
from django_upstash.dev_server.endpoints import Endpoints
from django_upstash.dev_server.faults import Fault, Faults
from django_upstash.dev_server.http import HttpConnection
from django_upstash.dev_server.meter import ServerMeter
from django_upstash.settings.hosts import is_loopback


class LocalServer:
    """
    An Upstash REST endpoint over the Redis at ``redis_url``, ``embedded://`` included, for this machine only.

        with LocalServer("redis://localhost:6379/0") as server:
            os.environ.update(server.env)

    ``token`` is random unless given; ``read_only_token`` is a second one that may only read. Port 0 takes a free port.
    Starting raises ``BackendError`` where the Redis cannot be reached, ``OSError`` where the port is taken, and
    ``ValueError`` for a host that is not a loopback address.
    """

    def __init__(
        self,
        redis_url: str,
        *,
        token: str | None = None,
        read_only_token: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        if not is_loopback(host):
            raise ValueError(
                f"The local server listens on loopback addresses only, such as 127.0.0.1, not on {host!r}."
            )
        self._redis_url = redis_url.strip()
        self._tokens = Tokens(secrets.token_urlsafe(32) if token is None else token, read_only_token)
        self._host = host
        self._port = port
        self._meter = ServerMeter()
        self._faults = Faults()
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<LocalServer {self.url}>"

    def __enter__(self) -> LocalServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def token(self) -> str:
        return self._tokens.standard

    @property
    def redis(self) -> str:
        """The address of the Redis behind the running server, without user and password."""
        return str(self._address)

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that lead a client of Upstash to this server."""
        return {"UPSTASH_REDIS_REST_URL": self.url, "UPSTASH_REDIS_REST_TOKEN": self.token}

    def start(self) -> None:
        """Listen, and return when the first request can be sent."""
        if self._thread is not None:
            raise RuntimeError("The local server is already running.")
        self._address = Address.of(_embedded(self._redis_url) or self._redis_url)
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="upstash-local", daemon=True)
        self._thread.start()
        try:
            started.result()
        except BaseException:
            self._thread.join()
            self._thread = None
            raise

    def close(self) -> None:
        """End every connection and the thread. A closed server can be started again."""
        if self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._thread = None

    def meter(self) -> dict[str, Any]:
        """Return what clients have cost: requests, billed commands in all and by name, bytes in and out."""
        return self._meter.snapshot()

    def reset_meter(self) -> None:
        self._meter.reset()

    def inject(self, kind: str, **options: Any) -> None:
        """Let the next requests fail: ``inject("latency", seconds=0.2, count=3, path="/pipeline")``. See ``Fault``."""
        self._faults.add([Fault(kind, **options)])

    def clear_faults(self) -> None:
        self._faults.clear()

    def _run(self, started: Future[None]) -> None:
        try:
            asyncio.run(self._serve(started))
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    async def _serve(self, started: Future[None]) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        backend = Backend(self._address)
        connections: set[HttpConnection] = set()
        try:
            await backend.start(WANTED)
            respond = Endpoints(backend, self._tokens, self._meter, self._faults).respond
            server = await self._loop.create_server(
                lambda: HttpConnection(respond, connections), self._host, self._port
            )
            self._port = server.sockets[0].getsockname()[1]
            started.set_result(None)
            await self._stopping.wait()
            server.close()
            await _end(connections)
        finally:
            await backend.close()


def _embedded(url: str) -> str | None:
    """Return the address of the server that ``embedded://`` names, started if need be; None for any other URL."""
    if not url.startswith("embedded:"):
        return None
    from django_upstash.settings.conf import make_settings
    from django_upstash.wire.embedded import directory_of, ensure_server

    return ensure_server(directory_of(make_settings("local", {"URL": url, "ALLOW_EMBEDDED": True})))


async def _end(connections: set[HttpConnection]) -> None:
    tasks = [connection.task for connection in connections if connection.task is not None]
    for connection in list(connections):
        connection.abort()
    await asyncio.gather(*tasks, return_exceptions=True)
