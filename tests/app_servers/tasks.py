"""The same site as a Celery application."""

from __future__ import annotations

import json
import os
from importlib import import_module
from typing import Any

import redis

from django_upstash.connections import connections
from django_upstash.tenants import Tenant
from tests.app_servers import site, visits

SessionStore: Any = import_module("django_upstash.sessions").SessionStore

celery: Any = import_module("celery")
app = celery.Celery("site", broker=os.environ["BROKER"])


@app.task(name="use")  # type: ignore[untyped-decorator]
def use() -> None:
    """Count one use, and tell that it is done."""
    Tenant("acme").usage.add("tasks")
    site.limiter.hit("somebody")
    connections["default"].redis.incr("done")


@app.task(name="visit")  # type: ignore[untyped-decorator]
def visit(name: str, turn: int, session_key: str | None, answer_key: str) -> None:
    """Leave at the broker's server what a visit has found, with the key of its session."""
    session = SessionStore(session_key)
    try:
        answer = visits.visit(name, turn, session)
        session.save()
    except Exception as error:
        answer = {"error": type(error).__name__, "text": str(error), "pid": os.getpid()}
    broker = redis.Redis.from_url(os.environ["BROKER"])
    broker.rpush(answer_key, json.dumps({**answer, "session": session.session_key}))
    broker.close()
