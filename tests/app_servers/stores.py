"""The server behind a site, on either route: what a test does to it, and how many connections it sees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django_upstash.dev_server import LocalServer
from tests.fault_proxy import FaultProxy
from tests.servers import Server, start_valkey


class Store:
    """A server that dies, returns, and closes its connections. ``variables`` lead ``site.py`` to it."""

    variables: dict[str, str]

    def connections(self) -> int:
        """Return how many connections are open."""
        raise NotImplementedError

    def close_connections(self) -> None:
        raise NotImplementedError

    def die(self) -> None:
        raise NotImplementedError

    def come_back(self) -> None:
        raise NotImplementedError


class NativeStore(Store):
    """Valkey, which has forgotten everything when it returns."""

    def __init__(self, server: Server) -> None:
        self.variables = {"URL": server.tcp_url}
        self._server = server

    def connections(self) -> int:
        clients: bytes = self._server.call("CLIENT", "LIST")
        return len(clients.splitlines()) - 1  # without the one that asks

    def close_connections(self) -> None:
        self._server.call("CLIENT", "KILL", "TYPE", "normal")  # but for the one that asks

    def die(self) -> None:
        self._server.stop()

    def come_back(self) -> None:
        self._server.start()


class RestStore(Store):
    """Upstash REST behind a front, whose clients see the front alone, and which remembers everything."""

    def __init__(self, server: LocalServer, front: FaultProxy) -> None:
        self.variables = {"URL": f"http://127.0.0.1:{front.port}", "TOKEN": server.token}
        self._front = front

    def connections(self) -> int:
        return self._front.open_connections

    def close_connections(self) -> None:
        self._front.sever()

    def die(self) -> None:
        self._front.refuse()
        self._front.sever()

    def come_back(self) -> None:
        self._front.heal()


@contextmanager
def running_store(route: str) -> Iterator[Store]:
    """Run a server of this test's own until the end of the block."""
    with start_valkey() as server:
        if route == "native":
            yield NativeStore(server)
            return
        with LocalServer(server.url) as rest, FaultProxy(int(rest.url.rpartition(":")[2])) as front:
            yield RestStore(rest, front)
