"""
The sessions against Django's: ``python -m benchmarks.sessions [--quick] [--rounds N] [--only NAME]`` prints JSON.

Ours, ``backends.cache`` on django-redis, and ``backends.db`` on SQLite, on loopback and with 5 ms added on the wire.
Times are medians over interleaved rounds, with client and server on one core.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command

from benchmarks import machine
from benchmarks.report import FAR, LOOPBACK, Comparison, Options, compared, near_and_far, run, timed
from benchmarks.rounds import Row, Timing, burst_of
from django_upstash.connections import connections

OURS, CACHE, DATABASE = "ours", "backends.cache", "backends.db"
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
_ROUNDS = 41


def main() -> None:
    run("benchmarks.sessions", (__doc__ or "").splitlines()[1], _ROUNDS, _report)


def _report(options: Options) -> dict[str, Any]:
    with ExitStack() as stack:
        server, urls = stack.enter_context(near_and_far())
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        _configure(urls[LOOPBACK], Path(folder))
        stack.callback(connections.close_all)
        rows = []
        for distance, url in urls.items():
            with _reached_at(url):
                wanted = [row for row in _rows(distance) if options.wants(row.name)]
                rows += [timed(row, options, [server.process.pid], _compare) for row in wanted]
        return {"machine": machine.facts(), "rows": rows}


def _compare(row: Row, timings: Mapping[str, Timing]) -> Iterator[dict[str, Any]]:
    return compared(row, timings, [Comparison(OURS, CACHE, GOALS.get(row.name)), Comparison(OURS, DATABASE)])


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


if __name__ == "__main__":
    main()
