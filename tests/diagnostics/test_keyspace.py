from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from django_upstash.connections import Connection
from django_upstash.dev_server import LocalServer
from django_upstash.diagnostics.key_groups import Families
from django_upstash.diagnostics.keyspace import SCAN_COUNT, KeyspaceInfo, Scan, survey
from django_upstash.exceptions import NoPermissionError
from django_upstash.operations import Operation, command
from django_upstash.settings.conf import make_settings
from tests.servers import Server, start_valkey


def surveyed(connection: Connection, **scan: Any) -> KeyspaceInfo:
    return survey(connection, Scan(**scan), Families(["shop"]), lambda keyspace: None)


def fill(connection: Connection, pages: int = 60, sessions: int = 30) -> None:
    commands: list[Any] = [("SET", f"shop:1:page.{number}", "x" * 100) for number in range(pages)]
    commands += [("SET", f"session:{number}", "x", "EX", 1000 + number) for number in range(sessions)]
    commands += [("HSET", "user:1", "name", "Ann"), ("RPUSH", "queue", "a", "b")]
    connection.run(Operation(commands, list))


def test_survey__counts_by_prefix(connection: Connection) -> None:
    fill(connection)
    keyspace = surveyed(connection)
    assert {name: group.keys for name, group in keyspace.groups.items()} == {
        "shop:1:": 60,
        "session:": 30,
        "user:": 1,
        "(no prefix)": 1,
    }
    assert (keyspace.total, keyspace.found, keyspace.is_complete, keyspace.scale) == (92, 92, True, 1.0)


def test_survey__measures_all_where_the_sample_has_room(connection: Connection) -> None:
    fill(connection)
    groups = surveyed(connection).groups
    sessions, pages, user = groups["session:"], groups["shop:1:"], groups["user:"]
    assert (sessions.share_without_ttl, pages.share_without_ttl) == (0.0, 1.0)
    assert sessions.shortest_ttl is not None
    assert 990_000 < sessions.shortest_ttl <= 1_000_000
    assert pages.shortest_ttl is None
    assert pages.mean_bytes is not None
    assert pages.mean_bytes >= 100
    assert (pages.types, user.types) == (Counter(string=60), Counter(hash=1))
    assert all(group.is_measured_whole for group in groups.values())


def test_survey__spreads_the_sample_over_the_prefixes(connection: Connection) -> None:
    fill(connection)
    groups = surveyed(connection, sample=10).groups
    assert {name: group.timed for name, group in groups.items()} == {
        "shop:1:": 4,
        "session:": 4,
        "user:": 1,
        "(no prefix)": 1,
    }
    assert not groups["session:"].is_measured_whole


def test_survey__states_what_it_has_cost(valkey: Server, upstash: dict[str, dict[str, Any]]) -> None:
    connection = Connection(make_settings("native", upstash["native"]))
    fill(connection)
    before = connection.meter.requests, connection.meter.commands
    with valkey.counting() as counted:
        surveyed(connection, sample=20)
    connection.close()
    assert counted.by_command == {"dbsize": 1, "scan": 1, "type": 20, "pttl": 20, "memory|usage": 20}
    assert (connection.meter.requests - before[0], connection.meter.commands - before[1]) == (2, counted.commands)


def test_survey__without_a_sample_costs_two_commands(connection: Connection) -> None:
    fill(connection)
    before = connection.meter.commands
    groups = surveyed(connection, sample=0).groups
    assert connection.meter.commands - before == 2
    assert groups["session:"].share_without_ttl is None


def test_survey__stops_at_its_limit_and_is_continued(connection: Connection) -> None:
    fill(connection, pages=2 * SCAN_COUNT + 500)
    cursor, found, runs, names = "0", 0, 0, Counter[str]()
    while runs == 0 or cursor != "0":
        before = connection.meter.commands
        part = surveyed(connection, limit=SCAN_COUNT, sample=0, cursor=cursor)
        assert connection.meter.commands - before == 2
        assert not part.is_complete
        assert part.scale > 1
        cursor, found, runs = part.cursor, found + part.found, runs + 1
        names.update({name: group.keys for name, group in part.groups.items()})
    assert runs > 1
    assert found == part.total
    assert names["shop:1:"] == 2 * SCAN_COUNT + 500


def test_survey__estimates_the_whole_from_a_part(connection: Connection) -> None:
    fill(connection, pages=2 * SCAN_COUNT + 500)
    part = surveyed(connection, limit=SCAN_COUNT, sample=0)
    assert sum(group.keys for group in part.groups.values()) * part.scale == pytest.approx(part.total)


def test_survey__of_some_keys_only(connection: Connection) -> None:
    fill(connection)
    matching = surveyed(connection, match="session:*")
    assert (list(matching.groups), matching.found, matching.total) == (["session:"], 30, 92)
    hashes = surveyed(connection, type="hash")
    assert (list(hashes.groups), hashes.found, hashes.scale) == (["user:"], 1, 1.0)


def test_survey__reports_how_far_it_is(connection: Connection) -> None:
    fill(connection, pages=2 * SCAN_COUNT + 500)
    seen: list[int] = []
    survey(connection, Scan(sample=0), Families(), lambda keyspace: seen.append(keyspace.found))
    assert len(seen) > 1
    assert seen == sorted(seen)


def test_survey__of_an_empty_database(connection: Connection) -> None:
    keyspace = surveyed(connection)
    assert (keyspace.groups, keyspace.total, keyspace.is_complete, keyspace.scale) == ({}, 0, True, 1.0)


@pytest.fixture
def without_memory_usage() -> Iterator[Connection]:
    with start_valkey(user="ann on >pw ~* &* +@all -memory") as server:
        connection = Connection(make_settings("default", {"URL": f"redis://ann:pw@127.0.0.1:{server.port}"}))
        yield connection
        connection.close()


def test_survey__takes_lengths_where_memory_usage_is_refused(without_memory_usage: Connection) -> None:
    fill(without_memory_usage, pages=150)
    keyspace = surveyed(without_memory_usage, sample=500)
    assert keyspace.sizes_are_of_values
    assert keyspace.groups["shop:1:"].mean_bytes == 100.0
    assert keyspace.groups["user:"].mean_bytes is None


def test_survey__leaves_out_keys_that_expire_meanwhile(connection: Connection) -> None:
    fill(connection, pages=1, sessions=0)

    def delete(keyspace: KeyspaceInfo) -> None:
        connection.run(command("DEL", "shop:1:page.0"))

    keyspace = survey(connection, Scan(), Families(["shop"]), delete)
    group = keyspace.groups["shop:1:"]
    assert (group.keys, group.timed, group.sized, group.share_without_ttl) == (1, 0, 0, None)


def test_survey__with_a_token_that_may_not_list_is_refused(valkey: Server) -> None:
    with LocalServer(valkey.url, read_only_token="only-reads") as server:
        connection = Connection(make_settings("default", {"URL": server.url, "TOKEN": "only-reads"}))
        with pytest.raises(NoPermissionError):
            surveyed(connection)
        connection.close()


@pytest.mark.parametrize("values", [{"limit": 0}, {"sample": -1}, {"cursor": "x"}, {"cursor": "-1"}])
def test_scan__refuses_what_makes_no_sense(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^--(limit|sample|cursor) must be .*\.$"):
        Scan(**values)
