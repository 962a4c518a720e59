"""Visitors of a site: each asks one thing after the other, under its own name, with its own session."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.cookiejar import CookieJar
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener

from tests.app_servers.command_lines import APP_SERVERS, CELERY
from tests.app_servers.running import PATIENCE, Running

VISITORS = 8
# Seconds between two visits of one visitor: the site is to be busy, not this machine.
PAUSE = 0.01

Ask = Callable[[str, int], dict[str, Any]]


class Visit(NamedTuple):
    """One answer, and when it was asked for and came, by ``time.monotonic``."""

    began: float
    ended: float
    answer: dict[str, Any]

    @property
    def seconds(self) -> float:
        return self.ended - self.began


def browser(running: Running, views: Sequence[str]) -> Ask:
    """Return a visitor who asks the views in turn."""
    opener = build_opener(ProxyHandler({}), HTTPCookieProcessor(CookieJar()))

    def ask(name: str, turn: int) -> dict[str, Any]:
        url = f"http://127.0.0.1:{running.port}/{views[turn % len(views)]}?name={name}&turn={turn}"
        try:
            with opener.open(url, timeout=PATIENCE) as response:
                found: dict[str, Any] = json.load(response)
        except HTTPError as error:
            found = json.loads(error.read())
        return found

    return ask


def sender(running: Running) -> Ask:
    """Return a visitor who sends tasks, and takes the answers from the broker's server."""
    import redis
    from celery import Celery  # type: ignore[import-untyped]

    application = Celery("site", broker=running.environment["BROKER"])
    answers = redis.Redis.from_url(running.environment["BROKER"], socket_timeout=PATIENCE + 10)
    session: str | None = None

    def ask(name: str, turn: int) -> dict[str, Any]:
        nonlocal session
        application.send_task("visit", (name, turn, session, f"{name}-{turn}"))
        answered: Any = answers.blpop([f"{name}-{turn}"], timeout=PATIENCE)
        if answered is None:
            raise OSError("no answer")
        found: dict[str, Any] = json.loads(answered[1])
        session = found.pop("session") or session
        return found

    return ask


def visitor(running: Running, name: str) -> Ask:
    """Return a visitor of a server by its name in ``APP_SERVERS``."""
    if name == CELERY:
        return sender(running)
    return browser(running, ["visit", "avisit"] if APP_SERVERS[name].is_asynchronous else ["visit"])


class Crowd:
    """Visitors who ask until they are stopped. ``visits`` are theirs."""

    def __init__(self, running: Running, name: str, pause: float) -> None:
        self.running, self.name, self._pause = running, name, pause
        self.visits: list[Visit] = []
        self._stopping = threading.Event()
        # Made here: Celery's package is no import for several threads at once.
        asks = [visitor(running, name) for _ in range(VISITORS)]
        self._threads = [
            threading.Thread(target=self._visit, args=(f"v{n}", ask), daemon=True) for n, ask in enumerate(asks)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE)

    def wait_for(self, count: int, *, since: float = 0.0, meanwhile: Callable[[], object] | None = None) -> None:
        """Return once so many visits that began after a time have ended; raise where they do not."""
        deadline = time.monotonic() + PATIENCE
        while sum(visit.began >= since for visit in self.visits) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name}: only {len(self.visits)} answers; it said:\n{self.running.log}")
            if meanwhile is not None:
                meanwhile()
            time.sleep(0.02)

    def _visit(self, name: str, ask: Ask) -> None:
        turn = 0
        while not self._stopping.is_set():
            turn += 1
            began = time.monotonic()
            try:
                answer = ask(name, turn)
            except (OSError, ValueError) as error:
                answer = {"error": "unanswered", "text": repr(error)}
            self.visits.append(Visit(began, time.monotonic(), answer))
            time.sleep(self._pause)


@contextmanager
def visiting(running: Running, name: str, pause: float = PAUSE) -> Iterator[Crowd]:
    """Let visitors ask until the end of the block."""
    crowd = Crowd(running, name, pause)
    crowd.start()
    try:
        yield crowd
    finally:
        crowd.stop()
