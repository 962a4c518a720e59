"""The store: one owner at a time, one result for all, and nothing that others wrote."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_upstash.exceptions import ConnectionError, ReservationLostError
from django_upstash.idempotency import IdempotencyStore, State
from tests.idempotency.conftest import OpenStore
from tests.servers import Server

pytestmark = pytest.mark.matrix

NEW, IN_PROGRESS, DUPLICATE, CONFLICT = State
KEY = os.urandom(32)


def expire(valkey: Server, name: str) -> None:
    """Let a reservation end now, as its time to live would."""
    assert valkey.call("PEXPIRE", name, "0") == 1


def test_begin__new_then_in_progress_then_duplicate(open_store: OpenStore, valkey: Server) -> None:
    store = open_store()
    owner = store.begin("order 42", {"amount": 100, "to": "ann"})
    assert (owner.state, owner.is_new, owner.value) == (NEW, True, None)
    assert store.begin("order 42", {"to": "ann", "amount": 100}).state is IN_PROGRESS
    store.complete(owner, {"charge": [1, None, "é"]})
    again = store.begin("order 42", {"amount": 100, "to": "ann"})
    assert (again.state, again.is_new, again.value) == (DUPLICATE, False, {"charge": [1, None, "é"]})
    assert valkey.call("KEYS", "*") == [b"idempotency:default:order%2042"]


def test_begin__another_payload_is_a_conflict(open_store: OpenStore) -> None:
    store = open_store()
    owner = store.begin("k", {"amount": 100})
    assert store.begin("k", {"amount": 101}).state is CONFLICT
    store.complete(owner)
    for payload in ({"amount": 101}, None, b'{"amount":100}', "100"):
        assert store.begin("k", payload).state is CONFLICT
    assert store.begin("k", {"amount": 100}).state is DUPLICATE


def test_tenants_and_keys__are_apart(open_store: OpenStore) -> None:
    one, other = open_store(tenant="a:b"), open_store(tenant="a")
    one.complete(one.begin("c"), 1)
    assert other.begin("b:c").state is NEW
    assert other.begin("c").state is NEW
    assert one.begin("c").value == 1


def test_lifetimes(open_store: OpenStore, valkey: Server, configure: Callable[..., None]) -> None:
    store = open_store()
    owner = store.begin("k")
    assert 30_000 < valkey.call("PTTL", "idempotency:default:k") <= 60_000
    store.complete(owner)
    assert 86_000_000 < valkey.call("PTTL", "idempotency:default:k") <= 86_400_000

    configure(TTL=timedelta(hours=2), IN_PROGRESS_TTL=600, TENANT="t")
    owner = store.begin("k")
    assert 500_000 < valkey.call("PTTL", "idempotency:t:k") <= 600_000
    store.complete(owner)
    assert 7_000_000 < valkey.call("PTTL", "idempotency:t:k") <= 7_200_000

    brief = open_store(ttl=100, in_progress_ttl=timedelta(seconds=50))
    owner = brief.begin("k2")
    assert valkey.call("PTTL", "idempotency:t:k2") <= 50_000
    brief.complete(owner)
    assert 50_000 < valkey.call("PTTL", "idempotency:t:k2") <= 100_000


def test_release__lets_the_next_one_work(open_store: OpenStore) -> None:
    store = open_store()
    owner = store.begin("k", 1)
    assert store.release(owner) is True
    assert store.release(owner) is False
    assert store.begin("k", 2).state is NEW


def test_renew__prolongs_the_reservation(open_store: OpenStore, valkey: Server) -> None:
    store = open_store()
    owner = store.begin("k")
    valkey.call("PEXPIRE", "idempotency:default:k", "5000")
    store.renew(owner)
    assert valkey.call("PTTL", "idempotency:default:k") > 30_000
    store.complete(owner, 1)
    assert store.begin("k").value == 1


@pytest.mark.parametrize("method", ["complete", "renew"])
def test_expired_owner__is_refused(open_store: OpenStore, valkey: Server, method: str) -> None:
    store = open_store()
    late = store.begin("k")
    expire(valkey, "idempotency:default:k")
    with pytest.raises(ReservationLostError, match="has expired, and nobody has taken it"):
        getattr(store, method)(late)
    owner = store.begin("k")
    assert owner.state is NEW
    with pytest.raises(ReservationLostError, match="somebody else has taken it"):
        getattr(store, method)(late)
    assert store.release(late) is False
    store.complete(owner, "theirs")
    with pytest.raises(ReservationLostError):
        getattr(store, method)(late)
    assert store.begin("k").value == "theirs"


BEGIN_AND_HANG = """
import django, sys
from django.conf import settings
settings.configure(SECRET_KEY="only for the tests", UPSTASH={"default": {"URL": sys.argv[1]}})
django.setup()
from django_upstash.idempotency import IdempotencyStore
print(IdempotencyStore(in_progress_ttl=0.5).begin("k", {"amount": 1}).state.value, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("route", ["native"])
def test_killed_worker__is_taken_over(configure: Callable[..., None], valkey: Server) -> None:
    command = [sys.executable, "-c", BEGIN_AND_HANG, valkey.url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "new\n"
        worker.kill()
    store = IdempotencyStore()
    deadline = time.monotonic() + 20
    while (found := store.begin("k", {"amount": 1})).state is IN_PROGRESS and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found.state is NEW
    store.complete(found, "done")
    assert store.begin("k", {"amount": 1}).value == "done"


def test_race__of_many_threads_has_one_owner(configure: Callable[..., None]) -> None:
    store = IdempotencyStore()
    barrier = threading.Barrier(32)

    def work(number: int) -> tuple[State, Any]:
        barrier.wait()
        result = store.begin("k", {"amount": 100})
        if result.is_new:
            store.complete(result, number)
        return result.state, result.value

    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(work, range(32)))
    states = Counter(state for state, _ in found)
    assert states[NEW] == 1
    assert states[NEW] + states[IN_PROGRESS] + states[DUPLICATE] == 32
    (owner,) = (number for number, (state, _) in enumerate(found) if state is NEW)
    assert {value for state, value in found if state is DUPLICATE} <= {owner}


@pytest.mark.parametrize("keys", [[], [KEY]], ids=["signed", "encrypted"])
def test_record__of_another_key_or_changed_counts_as_none(
    open_store: OpenStore,
    configure: Callable[..., None],
    valkey: Server,
    caplog: pytest.LogCaptureFixture,
    keys: list[bytes],
) -> None:
    configure(ENCRYPTION_KEYS=keys)
    store = open_store()
    store.complete(store.begin("mine"), "secret result")
    stored = valkey.call("GET", "idempotency:default:mine")
    assert (b"secret result" in stored) is not bool(keys)
    pending = b"p" + stored[1:]
    for forged in (stored, stored[:-1] + bytes([stored[-1] ^ 1]), pending, b"d:{}", b"", b"\xff\x00"):
        valkey.call("SET", "idempotency:default:theirs", forged)
        caplog.clear()
        owner = store.begin("theirs")
        assert (owner.state, owner.value) == (NEW, None)
        assert [record.name for record in caplog.records] == ["django.security.SuspiciousIdempotencyKey"]
        assert "secret" not in caplog.text
        store.complete(owner, "ours")
        assert store.begin("theirs").value == "ours"
    valkey.call("SET", "idempotency:default:mine", pending)
    assert store.begin("mine").state is NEW  # not in progress
    for forged in (pending, b"d" + valkey.call("GET", "idempotency:default:theirs")[1:-1]):
        valkey.call("SET", "idempotency:default:theirs", forged)
        assert store.begin("theirs").state is NEW


class Unreadable:
    def dumps(self, value: Any) -> bytes:
        return b"of an older version"

    def loads(self, data: bytes) -> Any:
        raise ValueError(data)


def test_result__that_the_serializer_cannot_read_counts_as_none(
    open_store: OpenStore, caplog: pytest.LogCaptureFixture
) -> None:
    older = open_store(serializer=Unreadable())
    older.complete(older.begin("k"))
    assert open_store().begin("k").state is NEW
    assert "reading its result ended in JSONDecodeError" in caplog.text
    assert "older version" not in caplog.text


def test_rotation__of_secret_key(open_store: OpenStore, settings: Any) -> None:
    store = open_store()
    store.complete(store.begin("k", {"a": 1}), "result")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", [settings.SECRET_KEY]
    assert store.begin("k", {"a": 1}).value == "result"
    assert store.begin("k", {"a": 2}).state is CONFLICT


@pytest.mark.parametrize("route", ["native"])
def test_encryption__takes_the_sessions_keys(
    open_store: OpenStore, configure: Callable[..., None], settings: Any, valkey: Server
) -> None:
    settings.UPSTASH_SESSIONS = {"ENCRYPTION_KEYS": [KEY]}
    store = open_store()
    store.complete(store.begin("k"), "secret result")
    assert valkey.call("GET", "idempotency:default:k").startswith(b"d:e1.")
    assert store.begin("k").value == "secret result"
    configure(ENCRYPTION_KEYS=[])
    assert store.begin("k").state is NEW


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (("",), ValueError, "The key must be a text of 1 to 1024 characters"),
        (("x" * 1025,), ValueError, "1 to 1024"),
        ((7,), ValueError, "The key must be a text"),
        (("k", {1, 2}), TypeError, "not set; a payload as a whole may be bytes"),
        (("k", float("nan")), ValueError, "not JSON compliant"),
    ],
)
@pytest.mark.parametrize("route", ["native"])
def test_begin__says_what_makes_no_sense(
    open_store: OpenStore, arguments: tuple[Any, ...], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        open_store().begin(*arguments)


@pytest.mark.parametrize("route", ["native"])
def test_store__says_what_makes_no_sense(open_store: OpenStore, configure: Callable[..., None], settings: Any) -> None:
    for wrong in (0, -1, True, "60", timedelta(0), float("inf")):
        with pytest.raises(ValueError, match="must be seconds or a timedelta"):
            open_store(ttl=wrong)
    store = open_store()
    store.begin("k")
    with pytest.raises(ValueError, match="only who began it as new"):
        store.complete(store.begin("k"))
    with pytest.raises(TypeError, match="not bytes"):
        store.complete(store.begin("k2"), b"bytes")
    configure(TTl=1)
    with pytest.raises(ImproperlyConfigured, match="unknown key 'TTl'"):
        store.begin("k")
    configure()
    settings.UPSTASH = {}
    with pytest.raises(ConnectionError, match="UPSTASH names no connection"):
        store.begin("k")


@pytest.mark.parametrize("route", ["native"])
def test_repr__shows_no_payload_and_no_result(open_store: OpenStore, configure: Callable[..., None]) -> None:
    store = IdempotencyStore(tenant="shop")
    owner = store.begin("k", "secret payload")
    store.complete(owner, "secret result")
    again = store.begin("k", "secret payload")
    assert "secret" not in repr((store, owner, again))
    assert repr(store) == "<IdempotencyStore shop>"
    assert repr(again) == "Result(state=<State.DUPLICATE: 'duplicate'>, key='k')"
