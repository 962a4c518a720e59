"""Every way in that reaches a server: what each does first with the connection ``default``."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from typing import Any

from django.core.cache import caches
from django.core.management import call_command

import django_upstash
from django_upstash.connections import connections
from django_upstash.locks import Lock
from django_upstash.operations import command
from django_upstash.pubsub import apublish, publish, subscribe
from django_upstash.queues import Queue
from django_upstash.ratelimit import RateLimiter, TokenBucket
from django_upstash.sessions import SessionStore

Way = Callable[[], Any]


def run() -> Any:
    return connections["default"].run(command("GET", "a"))


def run_write() -> Any:
    return connections["default"].run(command("INCR", "a"))


def cache_get() -> Any:
    return caches["default"].get("a")


def cache_set() -> Any:
    return caches["default"].set("a", {"b": 1})


def redis_get() -> Any:
    return connections["default"].redis.get("a")


def redis_blocking() -> Any:
    return connections["default"].redis.blpop(["a"], 1)


def redis_watch() -> Any:
    client: Any = connections["default"].redis
    with client.pipeline() as pipeline:
        pipeline.watch("a")
        pipeline.multi()
        pipeline.set("a", "1")
        return pipeline.execute()


def redis_pubsub() -> Any:
    client: Any = connections["default"].redis
    with client.pubsub() as pubsub:
        pubsub.subscribe("news")
        return pubsub.get_message(timeout=1)


def redis_client() -> Any:
    client: Any = connections["default"].redis
    with client.client() as own:
        return own.ping()


def redis_monitor() -> Any:
    client: Any = connections["default"].redis
    with client.monitor() as monitor:
        return monitor.next_command()


def upstash_get() -> Any:
    return connections["default"].upstash.get("a")


def upstash_pipeline() -> Any:
    pipeline = connections["default"].upstash.pipeline()
    pipeline.set("a", "1")
    pipeline.get("a")
    return pipeline.exec()


def subscribing() -> Any:
    with subscribe("news", heartbeat=0.1) as messages:
        return next(iter(messages))


def publishing() -> Any:
    return publish("news", "text")


def session_load() -> Any:
    return SessionStore("a" * 32).load()


def session_save() -> Any:
    session = SessionStore()
    session["a"] = 1
    return session.create()


def limiter_hit() -> Any:
    return RateLimiter(TokenBucket("5/s"), on_failure="closed").hit("user")


def lock_acquire() -> Any:
    return Lock("a", wait=0.2).acquire()


def queue_enqueue() -> Any:
    return Queue("mail").enqueue({"a": 1})


def queue_reserve() -> Any:
    return Queue("mail").reserve(1)


def verifying() -> Any:
    return django_upstash.verify()


def health() -> Any:
    return _output("redis_health", timeout=0.3)


def health_json() -> Any:
    return _output("redis_health", "--json", timeout=0.3)


def _output(*arguments: str, **options: Any) -> str:
    out = io.StringIO()
    try:
        call_command(*arguments, stdout=out, stderr=out, no_color=True, **options)
    except BaseException as error:
        error.add_note(out.getvalue())
        raise
    return out.getvalue()


async def arun() -> Any:
    return await connections["default"].arun(command("GET", "a"))


async def arun_write() -> Any:
    return await connections["default"].arun(command("INCR", "a"))


async def acache_get() -> Any:
    return await caches["default"].aget("a")


async def async_redis_get() -> Any:
    return await connections["default"].async_redis.get("a")


async def async_redis_blocking() -> Any:
    return await connections["default"].async_redis.blpop(["a"], 1)


async def async_redis_watch() -> Any:
    client: Any = connections["default"].async_redis
    async with client.pipeline() as pipeline:
        await pipeline.watch("a")
        pipeline.multi()
        pipeline.set("a", "1")
        return await pipeline.execute()


async def async_redis_pubsub() -> Any:
    async with connections["default"].async_redis.pubsub() as pubsub:
        await pubsub.subscribe("news")
        return await pubsub.get_message(timeout=1)


async def async_redis_client() -> Any:
    async with connections["default"].async_redis.client() as client:
        return await client.ping()


async def async_upstash_get() -> Any:
    return await connections["default"].async_upstash.get("a")


async def asubscribing() -> Any:
    async with subscribe("news", heartbeat=0.1) as messages:
        return await anext(aiter(messages))


async def apublishing() -> Any:
    return await apublish("news", "text")


async def asession_load() -> Any:
    return await SessionStore("a" * 32).aload()


async def alimiter_hit() -> Any:
    return await RateLimiter(TokenBucket("5/s"), on_failure="closed").ahit("user")


async def alock_acquire() -> Any:
    return await Lock("a", wait=0.2).aacquire()


async def aqueue_reserve() -> Any:
    return await Queue("mail").areserve(1)


async def averifying() -> Any:
    return await django_upstash.averify()


SYNC: tuple[Way, ...] = (
    *(run, run_write, cache_get, cache_set, redis_get, redis_blocking, redis_watch, redis_pubsub, redis_client),
    *(redis_monitor, upstash_get, upstash_pipeline, subscribing, publishing, session_load, session_save, limiter_hit),
    *(lock_acquire, queue_enqueue, queue_reserve, verifying, health, health_json),
)
ASYNC: tuple[Callable[[], Awaitable[Any]], ...] = (
    *(arun, arun_write, acache_get, async_redis_get, async_redis_blocking, async_redis_watch, async_redis_pubsub),
    *(async_redis_client, async_upstash_get, asubscribing, apublishing, asession_load, alimiter_hit, alock_acquire),
    *(aqueue_reserve, averifying),
)


def outcome(way: Callable[[], Any]) -> BaseException | str:
    """Return what a way raises within five seconds, or what it returns."""
    try:
        return repr(asyncio.run(_limited(way), debug=True) if way in ASYNC else way())
    except BaseException as error:
        return error


async def _limited(way: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(5):
        return await way()
