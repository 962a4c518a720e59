"""What one visit does with cache, session, throttle and gathered reads, and what it finds that is not its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from asgiref.sync import async_to_sync
from django.core.cache import cache

from django_upstash.connections import connections
from django_upstash.ratelimit import FixedWindow, RateLimiter
from django_upstash.ratelimit.decisions import Decision, Reason

LIMIT = 1_000_000
limiter = RateLimiter(FixedWindow(f"{LIMIT}/day", scope="visits"))
GATHERED = 6


class Findings:
    """Compares what a visitor's nth visit reads with what was written under that visitor's name."""

    def __init__(self, name: str, turn: int) -> None:
        self.name, self.turn = name, turn
        self.key = f"{name}-{turn}"
        self.pairs = {f"{self.key}-{place}": f"{self.key}-{place}" for place in range(GATHERED)}
        self.foreign: list[str] = []  # somebody else's values
        self.missing: list[str] = []  # values written a moment ago
        self.lost: list[str] = []  # what earlier visits left
        self.is_limited_here = False

    def session(self, owner: Any, visits: Any) -> None:
        self._compare("owner", owner, self.name, self.lost if self.turn > 1 else [])
        self._count("visits", visits, self.turn - 1)

    def value(self, what: str, found: Any, own: Any) -> None:
        self._compare(what, found, own, self.missing)

    def limit(self, decision: Decision) -> None:
        self.is_limited_here = decision.reason in (Reason.UNAVAILABLE, Reason.CONGESTED)
        if decision.reason is not Reason.CONGESTED:  # which has counted nothing
            self._count("limit", LIMIT - decision.remaining, self.turn)

    def report(self) -> dict[str, Any]:
        is_up = connections["default"].availability.is_up
        served = is_up and cache.backend_in_use == "server" and not self.is_limited_here  # type: ignore[attr-defined]
        found = {"foreign": self.foreign, "missing": self.missing, "lost": self.lost}
        return {**found, "served": served, "pid": os.getpid()}

    def _compare(self, what: str, found: Any, own: Any, absent: list[str]) -> None:
        if found is None:
            absent.append(what)
        elif found != own:
            self.foreign.append(f"{what}: {found!r} for {own!r}")

    def _count(self, what: str, found: int, own: int) -> None:
        if found > own:
            self.foreign.append(f"{what}: {found} of {own}")
        elif found < own:
            self.lost.append(f"{what}: {found} of {own}")


def visit(name: str, turn: int, session: Any) -> dict[str, Any]:
    findings = Findings(name, turn)
    findings.session(session.get("owner"), session.get("visits", 0))
    session.update({"owner": name, "visits": turn})
    cache.set(findings.key, turn)
    findings.value("get", cache.get(findings.key), turn)
    findings.value("incr", incremented(findings.key), turn + 1)
    findings.limit(limiter.hit(name))
    cache.set_many(findings.pairs)
    for key, found in zip(findings.pairs, gathered(list(findings.pairs)), strict=True):
        findings.value(key, found, key)
    return findings.report()


async def avisit(name: str, turn: int, session: Any) -> dict[str, Any]:
    findings = Findings(name, turn)
    findings.session(await session.aget("owner"), await session.aget("visits", 0))
    await session.aupdate({"owner": name, "visits": turn})
    await cache.aset(findings.key, turn)
    findings.value("get", await cache.aget(findings.key), turn)
    findings.value("incr", await aincremented(findings.key), turn + 1)
    findings.limit(await limiter.ahit(name))
    await cache.aset_many(findings.pairs)
    for key, found in zip(findings.pairs, await agathered(list(findings.pairs)), strict=True):
        findings.value(key, found, key)
    return findings.report()


def incremented(key: str) -> int | None:
    try:
        return cache.incr(key)
    except ValueError:  # there is no such key
        return None


async def aincremented(key: str) -> int | None:
    try:
        return await cache.aincr(key)
    except ValueError:
        return None


async def agathered(keys: Sequence[str]) -> list[Any]:
    return list(await asyncio.gather(*(cache.aget(key) for key in keys)))


def gathered(keys: Sequence[str]) -> list[Any]:
    """Read the keys at once: in an event loop, or in greenlets, of which only one of a thread may run a loop."""
    if not is_patched():
        return async_to_sync(agathered)(keys)
    gevent_pool = import_module("gevent.pool")
    return list(gevent_pool.Pool().map(cache.get, keys))


def is_patched() -> bool:
    if find_spec("gevent") is None:
        return False
    return bool(import_module("gevent.monkey").is_module_patched("socket"))
