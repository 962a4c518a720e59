from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_upstash.connections import Connection
from django_upstash.dev_server import LocalServer
from django_upstash.diagnostics import selftest
from django_upstash.diagnostics.health import encryption, examine
from django_upstash.diagnostics.health_check import limited
from django_upstash.diagnostics.probe import HealthPlan, Probe
from django_upstash.diagnostics.report import CheckResult, ConnectionReport, Status
from django_upstash.operations import Operation, command
from django_upstash.settings.conf import make_settings
from tests.diagnostics.impostors import impostor
from tests.fault_proxy import FaultProxy, TLSProxy
from tests.pubsub.test_foreign_servers import OneNameFront
from tests.rest_fronts import RestFront
from tests.servers import Server, start_valkey

READ_ONLY_TOKEN = "only-reads"
CHECKS = ["connect", "encryption", "latency", "write/read", "scripts", "server", "memory", "eviction", "keys"]


def examined(connection: Connection, **plan: Any) -> ConnectionReport:
    settings = connection.settings
    report = ConnectionReport(alias=settings.alias, route=settings.route, url=settings.safe_url)
    probe = Probe(connection, HealthPlan(**{"timeout": 30, **plan}), report)
    examine(probe)
    probe.account()
    return report


def check(report: ConnectionReport, name: str) -> CheckResult:
    (found,) = (check for check in report.checks if check.name == name)
    return found


@pytest.fixture
def connect() -> Iterator[Callable[..., Connection]]:
    """Return ``connect(url, **entry)``, whose connections are closed after the test."""
    opened: list[Connection] = []

    def connect(url: str, **entry: Any) -> Connection:
        opened.append(Connection(limited(make_settings("default", {"URL": url, **entry}), 5)))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


def test_examine__healthy(connection: Connection) -> None:
    report = examined(connection)
    wire = ["large value", "events"] if connection.settings.route == "rest" else []
    place = CHECKS.index("server")
    assert [check.name for check in report.checks] == [*CHECKS[:place], *wire, *CHECKS[place:], "connections"]
    assert report.status is Status.OK
    assert report.latency is not None
    assert report.latency.count == 4
    assert report.latency.min <= report.latency.median <= report.latency.p95
    assert report.server is not None
    assert report.server.software == ("Upstash" if connection.settings.route == "rest" else "Valkey")
    assert connection.run(command("DBSIZE")) == 0


def test_examine__states_what_it_has_cost(valkey: Server, connect: Callable[..., Connection]) -> None:
    valkey.call("SCRIPT", "FLUSH")
    with valkey.counting() as counted:
        report = examined(connect(valkey.url))
    assert (report.requests, report.commands) == (10, 19)
    assert counted.commands == report.commands
    assert counted.connections == 1


def test_examine__states_what_it_has_cost_over_rest(
    local_server: LocalServer, upstash: dict[str, dict[str, Any]], connect: Callable[..., Connection]
) -> None:
    report = examined(connect(local_server.url, TOKEN=local_server.token))
    metered = local_server.meter()
    assert (report.requests, report.commands) == (metered["requests"], sum(metered["by_command"].values()))


def test_examine__ping_only_is_one_request_over_rest(
    local_server: LocalServer, upstash: dict[str, dict[str, Any]], connect: Callable[..., Connection]
) -> None:
    examined(connect(local_server.url, TOKEN=local_server.token), ping_only=True)
    assert local_server.meter()["by_command"] == {"PING": 1}


def test_examine__of_scripts_seen_before_costs_one_request_less(
    valkey: Server, connect: Callable[..., Connection]
) -> None:
    valkey.call("SCRIPT", "FLUSH")
    connection = connect(valkey.url)
    assert (examined(connection).requests, examined(connection).requests) == (10, 9)


def test_examine__ping_only_is_one_command(valkey: Server, connect: Callable[..., Connection]) -> None:
    with valkey.counting() as counted:
        report = examined(connect(valkey.url), ping_only=True)
    assert counted.by_command == {"ping": 1}
    assert [check.name for check in report.checks] == ["connect"]
    assert (report.requests, report.commands) == (1, 1)


def test_examine__read_only_writes_nothing(valkey: Server, connect: Callable[..., Connection]) -> None:
    with valkey.counting() as counted:
        report = examined(connect(valkey.url), read_only=True)
    assert set(counted.by_command) == {"ping", "info", "dbsize"}
    assert report.status is Status.OK


def test_examine__one_ping_measures_no_latency(connection: Connection) -> None:
    report = examined(connection, pings=1)
    assert report.latency is None
    assert "latency" not in [check.name for check in report.checks]


def test_self_test__leaves_nothing_for_long_when_it_dies_in_the_middle(connection: Connection) -> None:
    write = selftest.write_read_delete(selftest.new_name())
    connection.run(Operation(write.commands, list))
    _, names = connection.run(command("SCAN", 0, "COUNT", 100))
    lifetimes = [connection.run(command("TTL", name)) for name in names]
    assert len(names) == 3
    assert all(name.startswith(selftest.PREFIX.encode()) for name in names)
    assert all(0 < lifetime <= selftest.LIFETIME for lifetime in lifetimes)


def test_self_test__tells_what_came_back_different(connection: Connection) -> None:
    name = selftest.new_name()
    write = selftest.write_read_delete(name)
    read = write.parse(connection.run(Operation(write.commands, list)))
    assert isinstance(read, Operation)
    connection.run(command("RPUSH", f"{name}:list", "somebody else's"))
    assert connection.run(read) == selftest.SelfTestOutcome(different=("list",))


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    users = [
        "reader on >pw ~* +@read +@connection +info +dbsize -@write",
        "app on >pw ~app:* +@all",
        "half on >pw ~* +@all -rpush",
        "discreet on >pw ~* +@all -info",
        "scriptless on >pw ~* +@all -@scripting",
    ]
    with start_valkey(user=users) as server:
        yield server


@pytest.fixture
def as_user(guarded: Server, connect: Callable[..., Connection]) -> Callable[[str], Connection]:
    return lambda user: connect(f"redis://{user}:pw@127.0.0.1:{guarded.port}")


def test_examine__read_only_user(as_user: Callable[[str], Connection]) -> None:
    report = examined(as_user("reader"))
    assert check(report, "write/read").status is Status.FAIL
    assert check(report, "write/read").message == "This user is right and read-only: it may read but not write."
    assert "scripts" not in [check.name for check in report.checks]
    assert check(report, "server").status is Status.OK


def test_examine__read_only_token(valkey: Server, connect: Callable[..., Connection]) -> None:
    with LocalServer(valkey.url, read_only_token=READ_ONLY_TOKEN) as server:
        report = examined(connect(server.url, TOKEN=READ_ONLY_TOKEN))
        wrong = examined(connect(server.url, TOKEN="wrong"))
        content = examined(connect(server.url, TOKEN=READ_ONLY_TOKEN), read_only=True)
    assert check(report, "write/read").message == "This token is right and read-only: it may read but not write."
    assert "--read-only" in check(report, "write/read").next_step
    assert wrong.checks[0].message == f"{server.url} does not accept the token."
    assert content.status is Status.OK


def test_examine__user_of_other_keys(as_user: Callable[[str], Connection]) -> None:
    report = examined(as_user("app"))
    assert check(report, "write/read").message.startswith("The user may not use this key")
    assert f"~{selftest.PREFIX}*" in check(report, "write/read").next_step


def test_examine__deletes_what_was_written_before_a_refusal(
    as_user: Callable[[str], Connection], guarded: Server
) -> None:
    report = examined(as_user("half"))
    assert check(report, "write/read").status is Status.FAIL
    assert "rpush" in check(report, "write/read").message
    assert guarded.call("DBSIZE") == 0


def test_examine__user_who_may_not_ask_for_info(as_user: Callable[[str], Connection]) -> None:
    report = examined(as_user("discreet"))
    assert check(report, "server").status is Status.WARN
    assert report.status is Status.WARN


def test_examine__user_without_scripts(as_user: Callable[[str], Connection]) -> None:
    report = examined(as_user("scriptless"))
    assert check(report, "scripts").status is Status.FAIL
    assert check(report, "write/read").status is Status.OK


def test_examine__full_database(connect: Callable[..., Connection]) -> None:
    with start_valkey(maxmemory="1mb") as server:
        report = examined(connect(server.tcp_url))
    assert check(report, "write/read").message == "The database is full; reads and deletes still work."
    assert check(report, "memory").status is Status.WARN
    assert check(report, "memory").message.startswith("Nearly full: 1")


def test_examine__evicting_database(connect: Callable[..., Connection]) -> None:
    config = {"maxmemory": "3mb", "maxmemory-policy": "allkeys-random"}
    with start_valkey(**config) as server:
        for number in range(40):
            server.call("SET", str(number), "x" * 100_000)
        report = examined(connect(server.tcp_url))
    assert check(report, "eviction").status is Status.WARN
    assert "allkeys-random has evicted" in check(report, "eviction").message


def test_examine__nearly_all_clients_taken(connect: Callable[..., Connection]) -> None:
    with start_valkey(maxclients=2) as server:
        report = examined(connect(server.tcp_url))
    assert check(report, "connections").status is Status.WARN
    assert "1 of 10 in this process, 2 of 2 at the server" in check(report, "connections").message


def test_examine__slow_way(valkey: Server, connect: Callable[..., Connection]) -> None:
    with FaultProxy(valkey.port) as proxy:
        proxy.latency(0.11)
        report = examined(connect(proxy.url), pings=2, read_only=True)
    assert check(report, "latency").status is Status.WARN
    assert "the same region" in check(report, "latency").next_step


def test_examine__leaves_out_what_the_time_limit_has_no_room_for(
    valkey: Server, connect: Callable[..., Connection]
) -> None:
    with FaultProxy(valkey.port) as proxy:
        proxy.latency(0.1)
        report = examined(connect(proxy.url), timeout=0.25)
    assert check(report, "connect").status is Status.OK
    assert check(report, "server").status is Status.WARN
    assert check(report, "server").message == "Not run: the 0.25 s are used up."


def test_examine__ends_where_the_server_is_lost(valkey: Server, connect: Callable[..., Connection]) -> None:
    with FaultProxy(valkey.port) as proxy:
        connection = connect(proxy.url)
        connection.ping()
        proxy.close_before_reply(9)
        report = examined(connection)
    assert [(check.name, check.status) for check in report.checks] == [("connect", Status.FAIL)]


def test_examine__answer_that_is_no_pong(connect: Callable[..., Connection]) -> None:
    with impostor(b"+HELLO\r\n") as port:
        report = examined(connect(f"redis://127.0.0.1:{port}"))
    assert [check.status for check in report.checks] == [Status.FAIL]
    assert "is not Redis" in report.checks[0].message


def test_examine__memory_with_a_limit(connect: Callable[..., Connection]) -> None:
    with start_valkey(maxmemory="100mb") as server:
        report = examined(connect(server.tcp_url))
    assert check(report, "memory").status is Status.OK
    assert check(report, "memory").message.endswith(" M of 100 M")


def test_examine__server_that_garbles(connect: Callable[..., Connection]) -> None:
    written, read = b"+OK\r\n:1\r\n:1\r\n:2\r\n:1\r\n", b"$5\r\nd?j? \r\n*0\r\n*0\r\n:3\r\n"
    with impostor(b"+PONG\r\n", written, read) as port:
        report = examined(connect(f"redis://127.0.0.1:{port}"), pings=1)
    assert check(report, "write/read").status is Status.FAIL
    assert check(report, "write/read").message == "What was written came back different: string, hash, list."


@pytest.mark.parametrize(
    ("url", "entry", "status", "said"),
    [
        ("redis://10.0.0.5", {}, Status.OK, "none, in a private network"),
        ("redis://localhost", {}, Status.OK, "none needed: the server is on this machine"),
        ("redis://redis.example.com", {"ALLOW_PLAINTEXT": True}, Status.WARN, "None: password and data travel"),
    ],
)
def test_encryption__none(
    url: str, entry: dict[str, Any], status: Status, said: str, connect: Callable[..., Connection]
) -> None:
    report = ConnectionReport(alias="default", route="native", url=url)
    (found,) = encryption(Probe(connect(url, **entry), HealthPlan(), report))
    assert found.status is status
    assert found.message.startswith(said)


@pytest.mark.parametrize(
    ("entry", "status", "said"),
    [
        ({}, Status.OK, "TLS, certificate verified"),
        ({"VERIFY_TLS": False}, Status.WARN, "TLS, but the certificate is not verified"),
    ],
)
def test_encryption__tls(
    entry: dict[str, Any], status: Status, said: str, valkey: Server, connect: Callable[..., Connection]
) -> None:
    with TLSProxy(valkey.port) as proxy:
        ca_certs = {} if entry else {"CA_CERTS": proxy.certificate.ca_file}
        report = examined(connect(f"rediss://localhost:{proxy.port}", **entry, **ca_certs))
    assert check(report, "encryption").status is status
    assert check(report, "encryption").message.startswith(said)


def test_examine__proves_the_wire_of_rest(
    local_server: LocalServer, upstash: dict[str, dict[str, Any]], connect: Callable[..., Connection]
) -> None:
    report = examined(connect(local_server.url, TOKEN=local_server.token))
    assert check(report, "large value").message == "2 KB of bytes, integers above 2^53"
    assert check(report, "events").message == "a message by /subscribe"


def test_examine__of_a_server_that_rounds_integers_and_refuses_raw_bodies(
    local_server: LocalServer, upstash: dict[str, dict[str, Any]], connect: Callable[..., Connection]
) -> None:
    with RestFront(local_server, rounds_integers=True, refuses_raw_bodies=True) as front:
        report = examined(connect(front.url, TOKEN=front.token))
    assert (report.status, check(report, "large value").status) == (Status.WARN, Status.WARN)
    assert "rounded" in check(report, "large value").message


def test_examine__of_a_server_without_event_streams(
    local_server: LocalServer, upstash: dict[str, dict[str, Any]], connect: Callable[..., Connection]
) -> None:
    with OneNameFront(local_server) as front:
        front.lacks = ("subscribe",)
        report = examined(connect(front.url, TOKEN=front.token))
    assert check(report, "events").status is Status.WARN
    assert "has no /subscribe" in check(report, "events").message
