"""What a task costs: round trips and billed commands, counted by the servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("django.tasks", reason="django.tasks is in Django 6.0 and later")

from django_upstash.dev_server import LocalServer
from tests.queues.conftest import Counting
from tests.servers import Server
from tests.tasks import jobs

pytestmark = pytest.mark.matrix


def test_task__budget(
    backend: Any, work: Callable[..., None], route: str, valkey: Server, local_server: LocalServer
) -> None:
    jobs.add.enqueue(1)
    work(backend, "default")
    counting = Counting(route, valkey, local_server)
    with counting as cost:
        result = jobs.add.enqueue(1)
    assert cost == (1, 4)
    with counting as cost:
        work(backend, "default")
    assert cost == (3 + 1, 8 + 3)  # and the look that finds no other
    with counting as cost:
        result.refresh()
    assert cost == (1, 1)
