"""Counting and removing the keys of one kind."""

from __future__ import annotations

import pytest

from django_upstash.connections import Connection
from django_upstash.operations import command
from django_upstash.operations.key_kind import Kind
from django_upstash.operations.key_scan import START, Page, Swept, page, removal
from tests.servers import Server


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def filled(connection: Connection) -> Connection:
    pairs = [part for number in range(5000) for part in (f"mine:{number}", "x")]
    connection.run(command("MSET", *pairs, "other:1", "x", "mine", "x"))
    return connection


def left(connection: Connection) -> set[bytes]:
    return set(connection.run(command("KEYS", "*")))


def test_page__finds_all_in_the_end(filled: Connection) -> None:
    found: set[str] = set()
    cursor: str | None = START
    while cursor is not None:
        keys, cursor = filled.run(page(Kind("mine:*"), cursor))
        found.update(keys)
    assert found == {f"mine:{number}" for number in range(5000)}


def test_page__leaves_out_names_that_are_no_text(connection: Connection, valkey: Server) -> None:
    connection.run(command("SET", "mine:text", "x"))
    valkey.call("SET", b"mine:\xff", "x")
    assert connection.run(page(Kind("mine:*"))) == Page(["mine:text"], None)


def test_removal__takes_the_kind_alone(filled: Connection) -> None:
    assert filled.run(removal(Kind("mine:*"))) == Swept(5000, None)
    assert left(filled) == {b"other:1", b"mine"}


def test_removal__takes_what_belongs_alone(filled: Connection) -> None:
    assert filled.run(removal(Kind("mine:*", lambda key: key.endswith("7")))).removed == 500
    assert len(left(filled)) == 4502


def test_removal__of_nothing_is_one_command(connection: Connection) -> None:
    assert connection.run(removal(Kind("mine:*"))) == Swept(0, None)
    assert (connection.meter.requests, connection.meter.commands) == (1, 1)


def test_removal__stops_and_goes_on(filled: Connection) -> None:
    removed, cursor = 0, START
    while True:
        swept = filled.run(removal(Kind("mine:*"), cursor, most=1000))
        removed += swept.removed
        if swept.cursor is None:
            break
        assert 1000 <= swept.removed < 3000
        cursor = swept.cursor
    assert (removed, left(filled)) == (5000, {b"other:1", b"mine"})


def test_removal__goes_on_at_the_cursor_it_told_last(filled: Connection) -> None:
    told: list[Swept] = []

    def interrupt(swept: Swept) -> None:
        told.append(swept)
        if swept.removed >= 2000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        filled.run(removal(Kind("mine:*"), progress=interrupt))
    last = told[-1]
    assert last.cursor is not None
    assert last.removed + filled.run(removal(Kind("mine:*"), last.cursor)).removed == 5000
    assert left(filled) == {b"other:1", b"mine"}
