"""
The sessions against Django's: ``python -m benchmarks.sessions [--quick] [--rounds N] [--only NAME]`` prints JSON.

Ours, ``backends.cache`` on django-redis, and ``backends.db`` on SQLite, on loopback and with 5 ms added on the wire.
Times are medians over interleaved rounds, with client and server on one core.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command

from benchmarks import machine
from benchmarks.rounds import Row, Timing, burst_of, measure
from django_upstash.connections import connections
from tests.servers import Server, ServerMissing, start_valkey
from tests.wire import FaultProxy

OURS, CACHE, DATABASE = "ours", "backends.cache", "backends.db"
LOOPBACK, FAR = "loopback", "with 5 ms"
LATENCY = 0.005  # seconds, on each round trip
_ENGINES = {
    OURS: "django_upstash.sessions",
    CACHE: "django.contrib.sessions.backends.cache",
    DATABASE: "django.contrib.sessions.backends.db",
}
# How many times as fast as backends.cache ours is meant to be.
GOALS: dict[str, float] = {
    f"save, {LOOPBACK}": 1.5,
    f"load, change, save, {LOOPBACK}": 1.5,
    f"login, {LOOPBACK}": 1.5,
    f"save, {FAR}": 1.9,
    f"load, change, save, {FAR}": 1.4,
    f"login, {FAR}": 1.8,
}
_DATA = {"cart": {"apples": 3, "pears": 5}, "language": "en", "visits": 12}
_ROUNDS, _QUICK_ROUNDS, _QUICK_SECONDS = 41, 2, 0.0005


def main() -> None:
    parser = _parser()
    arguments = parser.parse_args()
    if sys.platform != "linux":
        parser.exit(1, "The benchmark pins everything to one core and reads other processes' clocks: it needs Linux.\n")
    try:
        json.dump(_report(arguments), sys.stdout, indent=2)
    except ServerMissing as error:
        parser.exit(1, f"{error}\n")
    print()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sessions", description=__doc__.splitlines()[1])
    parser.add_argument("--quick", action="store_true", help="show that everything runs; the times mean nothing")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"turns of each contender (default: {_ROUNDS})")
    parser.add_argument("--only", default="", metavar="NAME", help="only rows whose name contains NAME")
    return parser


def _report(arguments: argparse.Namespace) -> dict[str, Any]:
    machine.pin_to_one_core()
    with ExitStack() as stack:
        server = stack.enter_context(start_valkey())
        proxy = stack.enter_context(FaultProxy(server.port))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        proxy.latency(LATENCY)
        _configure(server.tcp_url, Path(folder))
        stack.callback(connections.close_all)
        rows = []
        for distance, url in ((LOOPBACK, server.tcp_url), (FAR, proxy.url)):
            with _reached_at(url):
                rows += [_measured(row, arguments, server) for row in _rows(distance) if arguments.only in row.name]
        return {"machine": machine.facts(), "rows": rows}


def _configure(url: str, folder: Path) -> None:
    settings.configure(
        SECRET_KEY="only for the benchmarks",
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.sessions", "django_upstash"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": folder / "db.sqlite3"}},
        **_addresses(url),
    )
    django.setup()
    call_command("migrate", verbosity=0)


def _addresses(url: str) -> dict[str, Any]:
    cache = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": url}
    return {"UPSTASH": {"default": {"URL": url}}, "CACHES": {"default": cache}}


@contextmanager
def _reached_at(url: str) -> Iterator[None]:
    from django.test import override_settings

    with override_settings(**_addresses(url)):
        yield


def _rows(distance: str) -> Iterator[Row]:
    flows: dict[str, Callable[[Any], Callable[[], object]]] = {
        "save": _save,
        "load": _load,
        "load, change, save": _change,
        "login": _log_in,
    }
    seconds = 0.01 if distance == LOOPBACK else 0.05
    for name, flow in flows.items():
        contenders = {known: burst_of(flow(import_module(path).SessionStore)) for known, path in _ENGINES.items()}
        # On loopback what it takes of the core, and far away the waiting.
        kind: Any = "core" if distance == LOOPBACK else "wall"
        yield Row(f"{name}, {distance}", contenders, measure=kind, seconds=seconds)


def _save(store: Any) -> Callable[[], object]:
    def save() -> None:
        session = store()
        session.update(_DATA)
        session.save()

    return save


def _stored(store: Any) -> str:
    session = store()
    session.update(_DATA)
    session.save()
    return str(session.session_key)


def _load(store: Any) -> Callable[[], object]:
    key = _stored(store)

    def load() -> None:
        assert store(key)["visits"] == _DATA["visits"]

    return load


def _change(store: Any) -> Callable[[], object]:
    key = _stored(store)

    def change() -> None:
        session = store(key)
        session["seen"] = session["visits"]
        session.save()

    return change


def _log_in(store: Any) -> Callable[[], object]:
    """Load, take a new id, save, as a login does; each goes on with the id of the one before."""
    key = _stored(store)

    def log_in() -> None:
        nonlocal key
        session = store(key)
        session.get("visits")
        session.cycle_key()
        session["_auth_user_id"] = "7"
        session.save()
        key = session.session_key

    return log_in


def _measured(row: Row, arguments: argparse.Namespace, server: Server) -> dict[str, Any]:
    """Return a row of the report. Times are microseconds per flow."""
    print(row.name, "...", file=sys.stderr)
    rounds = arguments.rounds or (_QUICK_ROUNDS if arguments.quick else _ROUNDS)
    quick = replace(row, seconds=_QUICK_SECONDS) if arguments.quick else row
    timings = measure(quick, rounds, [server.process.pid])
    return {
        "name": row.name,
        "rounds": rounds,
        "measure": row.measure,
        "microseconds": {name: asdict(timing) for name, timing in timings.items()},
        "comparisons": list(_comparisons(row, timings)),
    }


def _comparisons(row: Row, timings: Mapping[str, Timing]) -> Iterator[dict[str, Any]]:
    for peer in (CACHE, DATABASE):
        ratio = round(getattr(timings[peer], row.measure) / getattr(timings[OURS], row.measure), 2)
        found: dict[str, Any] = {"ours": OURS, "peer": peer, row.measure: ratio}
        if peer == CACHE and row.name in GOALS:
            found |= {"goal": GOALS[row.name], "reached": ratio >= GOALS[row.name]}
        yield found


if __name__ == "__main__":
    main()
