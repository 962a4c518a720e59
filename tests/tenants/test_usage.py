"""Usage: counted in the process, written by the batch, and never lost or counted twice."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from django_upstash import flushing
from django_upstash.connections import connections
from django_upstash.tenants import Tenant
from django_upstash.tenants.metering import meter_of
from django_upstash.tenants.tenant_keys import space
from tests.outages import eventually
from tests.servers import Server
from tests.tenants.conftest import MakeTenant

pytestmark = pytest.mark.matrix

ROOT = Path(__file__).resolve().parents[2]
Counting = Callable[[], Any]
PERIOD = "202611"
AT = datetime(2026, 11, 21, tzinfo=UTC)


def test_add__is_read_back_once_written(make_tenant: MakeTenant) -> None:
    usage = make_tenant("acme").usage
    usage.add("tokens", 12)
    usage.add("tokens", 30)
    usage.add("requests")
    assert usage.read() == {}
    usage.flush()
    assert usage.read() == {"tokens": 42, "requests": 1}
    assert make_tenant("globex").usage.read() == {}
    usage.add("tokens", -2)
    usage.flush()
    assert usage.read()["tokens"] == 40


def test_add__sums_of_more_bits_than_a_double_has(make_tenant: MakeTenant) -> None:
    usage = make_tenant("acme").usage
    for _ in range(9999):
        usage.meter.add("acme", PERIOD, "bytes", 10**12, None)
    usage.meter.add("acme", PERIOD, "bytes", 1, None)
    usage.flush()
    assert usage.read(PERIOD) == {"bytes": 9999 * 10**12 + 1}


def test_add__by_the_period(make_tenant: MakeTenant, valkey: Server) -> None:
    usage = make_tenant("acme").usage
    west = timezone(timedelta(hours=-8))
    for at in (AT, datetime(2026, 11, 30, 23, tzinfo=west), datetime(2027, 1, 1, tzinfo=UTC)):
        usage.add("tokens", 1, at=at)
    usage.flush()
    assert usage.read(PERIOD) == usage.read(date(2026, 11, 9)) == usage.read("202612") == {"tokens": 1}
    assert usage.read(datetime(2027, 1, 31, tzinfo=UTC)) == {"tokens": 1}
    assert int(valkey.call("HGET", "usage:{acme}:202611", "tokens")) == 1


@pytest.mark.usefixtures("configure")
def test_add__by_the_day(configure: Any) -> None:
    configure(PERIOD="day")
    usage = Tenant("acme").usage
    usage.add("tokens", 1, at=AT)
    usage.flush()
    assert (usage.read("20261121"), usage.read("20261122")) == ({"tokens": 1}, {})


def test_add__of_one_id_counts_once_in_a_period(make_tenant: MakeTenant) -> None:
    usage = make_tenant("acme").usage
    for _ in range(3):
        usage.add("tokens", 5, id="event 1", at=AT)
        usage.add("tokens", 7, id="event 2", at=AT)
        usage.add("requests", 1, id="event 1", at=AT)
        usage.flush()
    assert usage.read(PERIOD) == {"tokens": 12, "requests": 1}
    usage.add("tokens", 5, id="event 1", at=AT + timedelta(days=31))
    usage.flush()
    assert usage.read("202612") == {"tokens": 5}


def test_flush__costs_one_request_whatever_was_added(make_tenant: MakeTenant, counting: Counting) -> None:
    one, other = make_tenant("acme").usage, make_tenant("globex").usage
    one.add("tokens", 1)
    one.add("requests", 1)
    other.add("tokens", 1)
    one.flush()  # the server learns the script, and the counters get their lifetimes
    with counting() as cost:
        for number in range(300):
            one.add("tokens", number)
            one.add("requests", 1)
            other.add("tokens", 1)
    assert cost == (0, 0)
    with counting() as cost:
        one.flush()
    assert cost == (1, 7)  # of each tenant EVALSHA and SET, and HINCRBY for each of the three counters
    with counting() as cost:
        one.flush()
    assert cost == (0, 0)


def test_flush__ids_cost_three_commands_however_many(make_tenant: MakeTenant, counting: Counting) -> None:
    usage = make_tenant("acme").usage
    usage.add("tokens", 1, id="first")
    usage.flush()
    for number in range(500):
        usage.add("tokens", 1, id=f"event {number}")
    with counting() as cost:
        usage.flush()
    assert cost == (1, 6)  # EVALSHA, SET, SMISMEMBER, SADD, PEXPIRE, HINCRBY
    assert usage.read() == {"tokens": 501}


def test_flush__many_ids_are_several_batches(make_tenant: MakeTenant) -> None:
    usage = make_tenant("acme").usage
    for number in range(2500):
        usage.add("tokens", 1, id=str(number))
    usage.flush()
    assert usage.read() == {"tokens": 2500}


def test_read__costs_one_command(make_tenant: MakeTenant, counting: Counting) -> None:
    usage = make_tenant("acme").usage
    usage.read()
    with counting() as cost:
        usage.read()
    assert cost == (1, 1)


@pytest.mark.usefixtures("configure")
def test_keys__live_as_long_as_is_kept(configure: Any, valkey: Server) -> None:
    configure(KEEP_USAGE=timedelta(days=30))
    usage = Tenant("acme").usage
    usage.add("tokens", 1, id="a", at=AT)
    usage.flush()
    month = 30 * 86_400_000
    for key in ("usage:{acme}:202611", "usage:{acme}:202611:ids"):
        assert month - 60_000 < valkey.call("PTTL", key) <= month
    (process,) = valkey.call("KEYS", "usage:{acme}:from:*")
    assert 0 < valkey.call("PTTL", process) <= 86_400_000
    configure(KEEP_USAGE=None)
    Tenant("globex").usage.add("tokens", 1, at=AT)
    Tenant("globex").usage.flush()
    assert valkey.call("PTTL", "usage:{globex}:202611") == -1


def test_add__writes_by_the_count(make_tenant: MakeTenant, configure: Any) -> None:
    configure(FLUSH_COUNT=10, FLUSH_SECONDS=3600)
    usage = make_tenant("acme").usage
    for _ in range(25):
        usage.add("tokens")
    assert usage.read() == {"tokens": 20}


def test_add__writes_by_the_time(make_tenant: MakeTenant, configure: Any) -> None:
    configure(FLUSH_SECONDS=0.01)
    usage = make_tenant("acme").usage
    usage.add("tokens")
    time.sleep(0.02)
    usage.add("tokens")
    assert usage.read() in ({"tokens": 2}, {"tokens": 1})  # on a busy machine the first one was due by itself


@pytest.mark.usefixtures("configure")
def test_add__in_an_event_loop_does_not_block_it(configure: Any) -> None:
    configure(FLUSH_COUNT=1)

    async def add() -> int:
        Tenant("acme").usage.add("tokens")
        return connections[space().settings.alias].meter.requests

    assert asyncio.run(add()) == 0


def use(request: HttpRequest) -> HttpResponse:
    Tenant("acme").usage.add("tokens")
    return HttpResponse(str(len(Tenant("acme").usage.read())))


async def ause(request: HttpRequest) -> HttpResponse:
    await Tenant("acme").usage.aadd("tokens")
    return HttpResponse(str(len(await Tenant("acme").usage.aread())))


urlpatterns = [path("sync/", use), path("async/", ause)]


@pytest.mark.parametrize("asked", ["sync", "async"])
def test_request_end__writes_what_the_request_has_used(configure: Any, settings: Any, asked: str) -> None:
    configure(FLUSH_SECONDS=0)
    settings.ROOT_URLCONF = __name__

    def ask() -> Any:
        return Client().get("/sync/") if asked == "sync" else asyncio.run(AsyncClient().get("/async/"))

    assert ask().content == b"0"
    assert Tenant("acme").usage.read() == {"tokens": 1}


def test_request_end__waits_for_the_time(configure: Any, settings: Any) -> None:
    configure(FLUSH_SECONDS=3600)
    settings.ROOT_URLCONF = __name__
    Client().get("/sync/")
    assert Tenant("acme").usage.read() == {}


@pytest.mark.usefixtures("configure")
def test_threads__add_up_exactly(configure: Any) -> None:
    configure(FLUSH_COUNT=50)
    usage = Tenant("acme").usage

    def work(number: int) -> None:
        for step in range(200):
            usage.add("tokens", 3)
            usage.add("events", 1, id=f"{number % 16}/{step}")  # each by two threads

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(work, range(32)))
    usage.flush()
    assert usage.read() == {"tokens": 32 * 200 * 3, "events": 16 * 200}
    assert usage.meter.pending == 0


@pytest.mark.usefixtures("configure")
def test_tasks__add_up_exactly(configure: Any) -> None:
    configure(FLUSH_COUNT=20)
    usage = Tenant("acme").usage

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(300):
                group.create_task(usage.aadd("tokens", 2))
        await usage.aflush()

    asyncio.run(work())
    assert usage.read() == {"tokens": 600}


def test_end_of_request__writes_what_others_added_meanwhile(configure: Any, valkey: Server) -> None:
    configure(FLUSH_SECONDS=0)
    usage = Tenant("acme").usage
    usage.add("tokens", 1)
    flushing.write_due()  # with connections open, and the script known
    usage.add("tokens", 2)
    valkey.call("CLIENT", "PAUSE", "10000", "WRITE")
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(flushing.write_due)
        eventually(lambda: b"blocked_clients:1" in valkey.call("INFO", "clients"))
        usage.add("tokens", 4)
        flushing.write_due()  # leaves it to the one that is writing
        valkey.call("CLIENT", "UNPAUSE")
        writing.result()
    assert meter_of(space()).pending == 0
    assert usage.read() == {"tokens": 7}


@pytest.mark.parametrize("route", ["native"])
def test_fork__the_child_counts_its_own(configure: Any, fork: Callable[[], int]) -> None:
    usage = Tenant("acme").usage
    usage.add("tokens", 1)
    child = fork()
    if not child:
        try:
            usage.add("tokens", 10)
            usage.flush()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    usage.flush()
    assert usage.read() == {"tokens": 11}


@pytest.mark.parametrize("route", ["native"])
@pytest.mark.usefixtures("configure")
def test_process_end__writes_all(valkey: Server) -> None:
    code = f"""
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=["django_upstash"], SECRET_KEY="x", UPSTASH={{"default": {{"URL": {valkey.url!r}}}}})
django.setup()
from django_upstash.tenants import Tenant
Tenant("acme").usage.add("tokens", 42)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    (key,) = [key for key in valkey.call("KEYS", "usage:{acme}:*") if b":from:" not in key]
    assert int(valkey.call("HGET", key, "tokens")) == 42


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"name": ""}, ValueError, "must have a name"),
        ({"name": "x" * 201}, ValueError, "must have a name"),
        ({"name": "tokens", "amount": 1.5}, TypeError, "whole number, not float"),
        ({"name": "tokens", "amount": True}, TypeError, "whole number, not bool"),
        ({"name": "tokens", "amount": 10**13}, ValueError, "at most 1,000,000,000,000"),
        ({"name": "tokens", "id": 5}, TypeError, "An id must be text"),
        ({"name": "tokens", "at": datetime(2026, 11, 21)}, ValueError, "aware of its time zone"),
        ({"name": "tokens", "at": date(2026, 11, 21)}, ValueError, "aware of its time zone"),
    ],
)
def test_add__what_cannot_be_counted(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Tenant("acme").usage.add(**arguments)


@pytest.mark.usefixtures("configure")
def test_read__what_is_no_period() -> None:
    with pytest.raises(ValueError, match='A period is written as "202611"'):
        Tenant("acme").usage.read("November")


@pytest.mark.usefixtures("configure")
def test_meter__is_one_for_all_tenants() -> None:
    assert Tenant("acme").usage.meter is Tenant("globex").usage.meter is meter_of(space())
