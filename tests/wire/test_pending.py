"""What waits for a reply in an event loop."""

from __future__ import annotations

import asyncio

import pytest

from django_upstash.exceptions import ConnectionError
from django_upstash.wire.pending import Entry


@pytest.mark.parametrize("how", ["answered", "failed"])
def test_entry__of_a_closed_loop_is_dropped(how: str) -> None:
    loop = asyncio.new_event_loop()
    entry = Entry(b"", 1, ())
    entry.future = loop.create_future()
    entry.future.add_done_callback(lambda future: None)  # as a task that waits
    loop.close()
    if how == "answered":
        entry.answer([])
    else:
        entry.fail(ConnectionError("lost"))
        assert isinstance(entry.future.exception(), ConnectionError)
    assert entry.future.done()
