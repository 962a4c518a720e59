"""Usage while the server is away, or refuses: kept within bounds, and written once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from django_upstash.dev_server import LocalServer
from django_upstash.exceptions import ConnectionError, ResponseError, UpstashError
from django_upstash.tenants import Tenant
from tests.servers import Server, start_valkey
from tests.tenants.conftest import MakeTenant
from tests.tenants.test_usage import AT, PERIOD

pytestmark = pytest.mark.matrix


@pytest.fixture
def away(configure: Any, settings: Any) -> Iterator[Server]:
    """A server of the tenants that comes and goes."""
    with start_valkey() as server:
        settings.UPSTASH = {"default": {"URL": server.url, "TIMEOUT": 5.0}}
        configure(ALIAS="default", FLUSH_COUNT=1)
        yield server


@pytest.mark.parametrize("route", ["native"])
def test_away__usage_is_kept_and_written_later(away: Server) -> None:
    usage = Tenant("acme").usage
    away.stop()
    for _ in range(20):
        usage.add("tokens", 2)
        usage.add("events", id="one")
    with pytest.raises(ConnectionError):
        usage.flush()
    away.start()
    assert usage.flush() >= 1
    assert usage.read() == {"tokens": 40, "events": 1}


@pytest.mark.parametrize("route", ["native"])
def test_away__what_is_kept_is_bounded(away: Server, configure: Any, caplog: pytest.LogCaptureFixture) -> None:
    configure(ALIAS="default", PENDING=10, FLUSH_COUNT=1)
    usage = Tenant("acme").usage
    away.stop()
    for number in range(15):
        usage.add("tokens", 1, id=str(number))
    assert (usage.meter.pending, usage.meter.dropped) == (10, 5)
    Tenant("globex").usage.add("tokens")
    assert not any(tenant == "globex" for tenant, _ in usage.meter._piles)
    assert sum("Usage is no longer counted" in record.getMessage() for record in caplog.records) == 1
    away.start()
    usage.flush()
    assert usage.read() == {"tokens": 10}


@pytest.mark.parametrize("fault", ["drop_after", "truncate", "reset", "html"])
@pytest.mark.parametrize("route", ["rest"])
@pytest.mark.usefixtures("configure")
def test_lost_answer__counts_once(local_server: LocalServer, fault: str) -> None:
    usage = Tenant("acme").usage
    usage.add("tokens", 1)
    usage.flush()
    usage.add("tokens", 5)
    usage.add("events", 1, id="one")
    local_server.inject(fault, count=5)
    with pytest.raises(UpstashError):
        usage.flush()
    local_server.clear_faults()
    usage.add("tokens", 100)
    usage.flush()
    assert usage.read() == {"tokens": 106, "events": 1}


@pytest.mark.parametrize("route", ["native"])
@pytest.mark.usefixtures("configure")
def test_unknown_script__in_the_middle_of_a_process(valkey: Server) -> None:
    one, other = Tenant("acme").usage, Tenant("globex").usage
    for _ in range(3):
        valkey.call("SCRIPT", "FLUSH")
        one.add("tokens", 1)
        other.add("tokens", 1)
        one.flush()
    assert one.read() == other.read() == {"tokens": 3}


@pytest.mark.parametrize("route", ["native"])
@pytest.mark.usefixtures("configure")
def test_a_counter_that_is_none__keeps_the_others(valkey: Server, caplog: pytest.LogCaptureFixture) -> None:
    usage = Tenant("acme").usage
    valkey.call("HSET", "usage:{acme}:202611", "spoilt", "text")
    usage.add("spoilt", 1, at=AT)
    usage.add("tokens", 1, at=AT)
    usage.flush()
    assert usage.read(PERIOD) == {"tokens": 1}
    assert any("is no number" in record.getMessage() for record in caplog.records)


@pytest.mark.usefixtures("configure")
def test_one_tenants_trouble__keeps_nobody_elses_usage(make_tenant: MakeTenant, valkey: Server) -> None:
    """A batch that is refused is kept, with those of its tenant after it, and the others' are written."""
    troubled, other = make_tenant("acme").usage, make_tenant("globex").usage
    valkey.call("SET", "usage:{acme}:202611:ids", "no set")
    troubled.add("tokens", 1, id="one", at=AT)
    troubled.add("tokens", 10, at=AT + timedelta(days=31))
    other.add("tokens", 5, at=AT)
    for _ in range(3):
        with pytest.raises(ResponseError):
            other.flush()
        troubled.add("tokens", 100, at=AT)
        other.add("tokens", 1, at=AT)
    assert other.read(PERIOD) == {"tokens": 7}
    assert troubled.read("202612") == {}

    valkey.call("DEL", "usage:{acme}:202611:ids")
    other.flush()
    assert (troubled.read(PERIOD), troubled.read("202612")) == ({"tokens": 301}, {"tokens": 10})
    assert other.read(PERIOD) == {"tokens": 8}
    assert other.meter.pending == 0
