"""
The cache against its peers: ``python -m benchmarks.cache [--quick] [--rounds N] [--only NAME]`` prints JSON.

Times are medians over interleaved rounds, with client and server on one core. docs/benchmarks.md says what they mean.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import redis

from benchmarks import asynchronous, machine, native, peers, rest
from benchmarks.counts import counts
from benchmarks.goals import comparisons
from benchmarks.report import Options, run, timed
from benchmarks.rounds import Row
from benchmarks.servers import RestAddress, start_rest_server
from django_upstash.connections import connections
from tests.servers import Server, start_valkey

COUNTS = "counts"
_ROUNDS = 101


def main() -> None:
    run("benchmarks.cache", (__doc__ or "").splitlines()[1], _ROUNDS, _report)


def _report(options: Options) -> dict[str, Any]:
    with ExitStack() as stack:
        server = stack.enter_context(start_valkey())
        address = stack.enter_context(start_rest_server(server.url))
        peers.configure(server.tcp_url, address)
        stack.callback(connections.close_all)
        rows = [row for row in _rows(stack, server, address) if options.wants(row.name)]
        pids = (server.process.pid, address.pid)
        return {
            "machine": {**machine.facts(), "server": _version(server)},
            "rows": [timed(row, options, pids, comparisons) for row in rows],
            **({COUNTS: counts(server, address)} if options.wants(COUNTS) else {}),
        }


def _rows(stack: ExitStack, server: Server, address: RestAddress) -> Iterator[Row]:
    client = stack.enter_context(closing(redis.Redis.from_url(server.tcp_url)))
    sock = stack.enter_context(_connected(server))
    runner = stack.enter_context(asyncio.Runner())
    peers.fill(client)
    yield from native.rows(client, sock)
    yield from asynchronous.native_rows(runner)
    yield from rest.rows(stack, address)
    yield from asynchronous.rest_rows(stack, runner, address)


def _connected(server: Server) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", server.port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _version(server: Server) -> str:
    info = dict(line.split(":", 1) for line in server.call("INFO", "server").decode().splitlines() if ":" in line)
    return f"{info['server_name']} {info['valkey_version']}"


if __name__ == "__main__":
    main()
