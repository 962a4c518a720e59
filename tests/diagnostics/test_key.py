from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from django_upstash.connections import Connection
from django_upstash.diagnostics.key import MOST_ELEMENTS, KeyDetails, inspect_key
from django_upstash.operations import command


def details(connection: Connection, name: str = "k") -> KeyDetails:
    found = connection.run(inspect_key(name.encode()))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("write", "kind", "length", "preview"),
    [
        (("SET", "k", "hello"), "string", 5, ["hello"]),
        (("SET", "k", ""), "string", 0, [""]),
        (("HSET", "k", "name", "Ann"), "hash", 1, ["name: Ann"]),
        (("RPUSH", "k", "a", "b"), "list", 2, ["a", "b"]),
        (("SADD", "k", "a"), "set", 1, ["a"]),
        (("ZADD", "k", 1, "a", 2.5, "b"), "zset", 2, ["1: a", "2.5: b"]),
        (("XADD", "k", "1-0", "f", "v"), "stream", 1, ["1-0 f: v"]),
    ],
)
def test_inspect_key__of_each_type(
    connection: Connection, write: tuple[Any, ...], kind: str, length: int, preview: list[str]
) -> None:
    connection.run(command(*write))
    before = connection.meter.requests
    found = details(connection)
    assert connection.meter.requests - before == 2
    assert (found.type, found.length, found.preview, found.is_cut) == (kind, length, preview, False)
    assert (found.ttl_ms, found.name) == (None, "k")
    assert found.memory is not None
    assert found.memory > 0
    if connection.settings.route == "rest":  # Upstash has no OBJECT
        assert found.encoding is None
    else:
        assert found.encoding


def test_inspect_key__lifetime(connection: Connection) -> None:
    connection.run(command("SET", "k", "v", "EX", 100))
    ttl = details(connection).ttl_ms
    assert ttl is not None
    assert 90_000 < ttl <= 100_000


def test_inspect_key__missing(connection: Connection) -> None:
    assert connection.run(inspect_key(b"missing")) is None


@pytest.mark.parametrize(
    ("write", "first"),
    [
        (["RPUSH", "k", *(f"{number:04}" for number in range(500))], "0000"),
        (["ZADD", "k", *(word for number in range(500) for word in (str(number), f"{number:04}"))], "0: 0000"),
        (["SADD", "k", *(f"{number:04}" for number in range(500))], None),
        (["HSET", "k", *(word for number in range(500) for word in (f"{number:04}", "v"))], None),
    ],
)
def test_inspect_key__shows_a_bounded_number_of_elements(
    connection: Connection, write: list[str], first: str | None
) -> None:
    connection.run(command(*write))
    found = details(connection)
    assert (found.length, len(found.preview), found.is_cut) == (500, MOST_ELEMENTS, True)
    assert first is None or found.preview[0] == first


def test_inspect_key__fetches_only_the_beginning_of_a_long_string(
    connection: Connection, local_server: Any, valkey: Any
) -> None:
    connection.run(command("SET", "k", "x" * 3_000_000))
    output = int(valkey_output(connection))
    found = details(connection)
    assert found.preview == ["x" * 119 + "… (2.9 M)"]
    assert int(valkey_output(connection)) - output < 100_000


def valkey_output(connection: Connection) -> str:
    info: str = connection.run(command("INFO", "stats")).decode()
    return next(line.partition(":")[2] for line in info.splitlines() if line.startswith("total_net_output_bytes"))


def test_inspect_key__counts_elements_that_are_too_large_to_fetch(connection: Connection) -> None:
    for _ in range(5):
        connection.run(command("RPUSH", "k", "x" * 3_000_000))
    found = details(connection)
    assert (found.length, found.preview, found.is_cut) == (5, [], True)


def test_inspect_key__looks_at_small_elements_of_a_large_key(connection: Connection) -> None:
    for start in range(4):
        connection.run(command("RPUSH", "k", *("x" * 90 for _ in range(30_000 * start, 30_000 * start + 30_000))))
    found = details(connection)
    assert (found.length, len(found.preview)) == (120_000, MOST_ELEMENTS)


class Exploding:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def test_inspect_key__never_unpickles(connection: Connection, tmp_path: Path) -> None:
    pickled = pickle.dumps(Exploding(tmp_path / "exploded"), 2)
    connection.run(command("SET", "k", pickled))
    assert details(connection).preview == [f"pickle (unsigned), {len(pickled)} B"]
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "write",
    [
        ("SET", "session:1", "hunter2"),
        ("RPUSH", "session:1", "hunter2"),
        ("SADD", "session:1", "hunter2"),
        ("ZADD", "session:1", 1, "hunter2"),
        ("HSET", "session:1", "name", "hunter2"),
        ("XADD", "session:1", "1-0", "name", "hunter2"),
    ],
)
def test_inspect_key__masks_sessions(connection: Connection, write: tuple[Any, ...]) -> None:
    connection.run(command(*write))
    (line,) = details(connection, "session:1").preview
    assert "hunter2" not in line
    assert line.endswith("•••• (masked), 7 B")


def test_inspect_key__masks_secret_fields(connection: Connection) -> None:
    connection.run(command("HSET", "user:1", "name", "Ann", "password", "hunter2"))
    assert details(connection, "user:1").preview == ["name: Ann", "password: •••• (masked), 7 B"]


def test_inspect_key__escapes_names(connection: Connection) -> None:
    connection.run(command("HSET", "k", "a\x1b[2J\n" + "x" * 500, "\x07"))
    (line,) = details(connection).preview
    assert line.startswith("a\\x1b[2J\\nxxx")
    assert line.endswith("…: \\x07")
