"""Errors are redis-py's own, too, and need it for nothing where nobody imports it."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
import redis

from django_upstash import exceptions
from django_upstash.exceptions import UpstashError

IMPORTED_LATER = """
import sys
from django_upstash import exceptions

early = exceptions.LockLost("early")
assert "redis" not in sys.modules, "imported for the classes of errors"
assert not issubclass(exceptions.LockLost, ValueError)

import redis

for kind in ("ConnectionError", "TimeoutError", "ResponseError", "AuthenticationError", "DataError", "NoScriptError"):
    try:
        raise getattr(exceptions, kind)("late")
    except getattr(redis.exceptions, kind) as error:
        assert repr(error) == f"{kind}('late')", repr(error)
try:
    raise early
except redis.exceptions.LockError as error:
    assert repr(error) == "LockLost('early')"
"""
BY_MANY_THREADS = """
import sys, threading
from django_upstash import exceptions
import redis
sys.setswitchinterval(1e-6)
failures = []
def make():
    barrier.wait()
    try:
        assert isinstance(exceptions.TimeoutError("x"), exceptions.UpstashError)
    except Exception as error:
        failures.append(error)
barrier = threading.Barrier(16)
threads = [threading.Thread(target=make) for _ in range(16)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert not failures, failures
assert issubclass(exceptions.LockLost, redis.exceptions.LockNotOwnedError)
"""
OURS = {name: getattr(exceptions, name) for name in exceptions.__all__ if isinstance(getattr(exceptions, name), type)}


@pytest.mark.parametrize("code", [IMPORTED_LATER, BY_MANY_THREADS])
def test_classes__become_those_of_redis_py_when_that_is_imported(code: str) -> None:
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("kind", [kind for kind in OURS.values() if kind is not exceptions.CircuitOpen])
def test_class__is_one_of_redis_py_and_can_be_pickled(kind: type[UpstashError]) -> None:
    error = kind("text")
    twin = getattr(redis.exceptions, kind.__name__, redis.RedisError)
    assert isinstance(error, (UpstashError, redis.RedisError))
    assert isinstance(error, twin)
    assert repr(pickle.loads(pickle.dumps(error))) == repr(error) == f"{kind.__name__}('text')"
