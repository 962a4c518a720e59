"""
The cache against its peers: ``python -m benchmarks.cache [--quick] [--rounds N] [--only NAME]`` prints JSON.

Times are medians over interleaved rounds, with client and server on one core. docs/benchmarks.md says what they mean.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from typing import Any

import redis

from benchmarks import asynchronous, machine, native, peers, rest
from benchmarks.counts import counts
from benchmarks.goals import comparisons
from benchmarks.rounds import Row, measure
from benchmarks.servers import RestAddress, start_rest_server
from django_upstash.connections import connections
from tests.servers import Server, ServerMissing, start_valkey

COUNTS = "counts"
_ROUNDS, _QUICK_ROUNDS, _QUICK_SECONDS = 101, 2, 0.0005


def main() -> None:
    parser = _parser()
    arguments = parser.parse_args()
    if sys.platform != "linux":
        parser.exit(1, "The benchmark pins everything to one core and reads other processes' clocks: it needs Linux.\n")
    try:
        report = _report(arguments)
    except ServerMissing as error:
        parser.exit(1, f"{error}\n")
    if not report["rows"] and COUNTS not in report:
        parser.error(f"no row's name contains {arguments.only!r}; docs/benchmarks.md lists them")
    json.dump(report, sys.stdout, indent=2)
    print()


def _report(arguments: argparse.Namespace) -> dict[str, Any]:
    machine.pin_to_one_core()
    wanted = arguments.only.lower()
    with ExitStack() as stack:
        server = stack.enter_context(start_valkey())
        address = stack.enter_context(start_rest_server(server.url))
        peers.configure(server.tcp_url, address)
        stack.callback(connections.close_all)
        rows = [row for row in _rows(stack, server, address) if wanted in row.name.lower()]
        pids = (server.process.pid, address.pid)
        return {
            "machine": {**machine.facts(), "server": _version(server)},
            "rows": [_measured(row, arguments, pids) for row in rows],
            **({COUNTS: counts(server, address)} if wanted in COUNTS else {}),
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cache", description=__doc__.splitlines()[1])
    parser.add_argument("--quick", action="store_true", help="show that everything runs; the times mean nothing")
    parser.add_argument("--rounds", type=_positive, metavar="N", help=f"turns of each contender (default: {_ROUNDS})")
    parser.add_argument("--only", default="", metavar="NAME", help="only rows whose name contains NAME, or 'counts'")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rounds, 1 or more")
    return int(text)


def _measured(row: Row, arguments: argparse.Namespace, servers: Sequence[int]) -> dict[str, Any]:
    """Return a row of the report. Times are microseconds per operation."""
    print(row.name, "...", file=sys.stderr)
    rounds = arguments.rounds or (_QUICK_ROUNDS if arguments.quick else _ROUNDS)
    timings = measure(replace(row, seconds=_QUICK_SECONDS) if arguments.quick else row, rounds, servers)
    return {
        "name": row.name,
        "rounds": rounds,
        "measure": row.measure,
        "microseconds": {name: asdict(timing) for name, timing in timings.items()},
        "comparisons": list(comparisons(row, timings)),
    }


def _version(server: Server) -> str:
    info = dict(line.split(":", 1) for line in server.call("INFO", "server").decode().splitlines() if ":" in line)
    return f"{info['server_name']} {info['valkey_version']}"


if __name__ == "__main__":
    main()
