"""The end of an outage, for tests that do not wait for the second after which a process looks whether it is over."""

from __future__ import annotations

import time
from collections.abc import Callable

from django_upstash.connections import Connection


def find_back(connection: Connection) -> None:
    """Let the process find out now that the server of a connection is back."""
    availability = connection.availability
    pause, availability.pause = availability.pause, 0.0
    eventually(availability.may_ask)
    availability.pause = pause


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, for 20 seconds at most."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
