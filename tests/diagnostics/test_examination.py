from __future__ import annotations

import threading
from typing import Any

import pytest

from django_upstash.connections import Connection
from django_upstash.diagnostics.health_check import Examination
from django_upstash.diagnostics.probe import HealthPlan
from django_upstash.diagnostics.report import HealthReport, Status
from tests.fault_proxy import FaultProxy
from tests.servers import Server


@pytest.mark.parametrize("values", [{"timeout": 0}, {"timeout": float("nan")}, {"timeout": 601}, {"pings": 0}])
def test_plan__refuses_what_makes_no_sense(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^--(timeout|pings) must be .*\.$"):
        HealthPlan(**values)


def run(*aliases: str, **plan: Any) -> HealthReport:
    examination = Examination(aliases, HealthPlan(**{"timeout": 30, **plan}))
    try:
        return examination.run()
    finally:
        examination.close()


def test_examination__reports_in_the_order_of_the_aliases(upstash: dict[str, dict[str, Any]]) -> None:
    upstash["broken"] = {"URL": "redis://127.0.0.1", "TIMEOUT": "soon"}
    report = run("rest", "broken", "native", "embedded")
    assert [one.alias for one in report.connections] == ["rest", "broken", "native", "embedded"]
    assert [one.is_misconfigured for one in report.connections] == [False, True, False, False]
    assert [(check.status, check.id) for check in report.connections[1].checks] == [
        (Status.FAIL, "django_upstash.E021")
    ]
    assert report.status is Status.FAIL


def test_examination__compares_the_routes(upstash: dict[str, dict[str, Any]]) -> None:
    assert "times as fast as" in run("native", "rest").verdict
    assert run("native").verdict.startswith("Native ")
    assert run("rest").verdict.startswith("REST ")
    assert run("native", ping_only=True).verdict == ""


def test_examination__shows_the_warnings_of_the_settings(upstash: dict[str, dict[str, Any]], settings: Any) -> None:
    settings.CACHES = {
        name: {"BACKEND": "django_upstash.cache.UpstashCache", "LOCATION": "native"} for name in ("default", "other")
    }
    report = run("native", "rest")
    assert [check.id for check in report.connections[0].checks if check.id] == ["django_upstash.W004"]
    assert [check.id for check in report.connections[1].checks if check.id] == []


def test_examination__of_a_deployed_site_shows_its_risks(upstash: dict[str, dict[str, Any]], settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "django_upstash.cache.UpstashCache", "LOCATION": "native"}}
    examination = Examination(["native"], HealthPlan(timeout=30), is_deployed=True)
    (report,) = examination.run().connections
    examination.close()
    assert [check.id for check in report.checks if check.id] == ["django_upstash.W005"]


def test_examination__keeps_its_sockets_between_runs(valkey: Server, upstash: dict[str, dict[str, Any]]) -> None:
    examination = Examination(["native"], HealthPlan(timeout=30))
    with valkey.counting() as counted:
        first, second = examination.run(), examination.run()
    examination.close()
    assert counted.connections == 1
    assert counted.commands == first.connections[0].commands + second.connections[0].commands


def test_examination__ends_when_the_time_is_up(valkey: Server, settings: Any) -> None:
    with FaultProxy(valkey.port) as proxy:
        settings.UPSTASH = {"default": {"URL": proxy.url}}
        proxy.latency(0.1)
        served = threading.Event()
        forget = threading.Thread(target=_drop_after, args=(proxy, 4, served))
        forget.start()
        report = run("default", timeout=0.8, pings=1000)
        served.set()
        forget.join()
    failed = report.connections[0].checks[-1]
    assert (failed.name, failed.status) == ("latency", Status.FAIL)
    assert failed.message == f"127.0.0.1:{proxy.port} did not answer within 0.8 s."


def _drop_after(proxy: FaultProxy, round_trips: int, given_up: threading.Event) -> None:
    while proxy.round_trips < round_trips and not given_up.wait(0.01):
        pass
    proxy.drop_replies()


def test_examination__raises_what_is_no_fault_of_the_server(upstash: dict[str, dict[str, Any]]) -> None:
    examination = Examination(["native"], HealthPlan(timeout=30))
    connection = examination._connections["native"]
    assert isinstance(connection, Connection)
    connection.capabilities = None  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        examination.run()
    examination.close()


def test_examination__of_an_embedded_server_with_a_host(settings: Any) -> None:
    settings.UPSTASH = {"default": {"URL": "embedded://somewhere/else"}}
    (report,) = run("default").connections
    assert report.is_misconfigured
    assert [check.status for check in report.checks] == [Status.FAIL]
    assert "host" in report.checks[0].message
