"""What belongs to a feature, removed in two goes."""

from __future__ import annotations

import pytest

from django_upstash.connections import Connection
from django_upstash.diagnostics.flushing import remove
from django_upstash.features import FlushTarget
from django_upstash.operations import command
from django_upstash.operations.key_kind import Kind
from django_upstash.operations.key_scan import START


@pytest.mark.parametrize("stop_at", [1, 1500, 2500])
def test_remove__goes_on_at_the_place_it_told_last(connection: Connection, stop_at: int) -> None:
    for name in ("one", "other"):
        connection.run(command("MSET", *(part for number in range(2000) for part in (f"{name}:{number}", "x"))))
    connection.run(command("SET", "third:1", "x"))
    found = FlushTarget(name="both", kinds=lambda: [Kind("one:*"), Kind("other:*")])
    reached = (0, START)

    def progress(removed: int, place: str) -> None:
        nonlocal reached
        reached = removed, place
        if removed >= stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        remove(connection, found, START, progress)
    removed, place = reached
    assert removed >= stop_at
    rest = remove(connection, found, place, lambda removed, place: None)
    assert removed + rest == 4000
    assert connection.run(command("DBSIZE")) == 1
