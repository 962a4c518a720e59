"""What the backend of ``django.tasks`` declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from django_upstash.features import Feature, KeptState, StatePlace
from django_upstash.settings import conf


def _places() -> Iterator[StatePlace]:
    tasks = conf.setting("TASKS")
    for name, entry in tasks.items() if isinstance(tasks, Mapping) else ():
        if isinstance(entry, Mapping) and str(entry.get("BACKEND", "")).startswith("django_upstash.tasks."):
            yield StatePlace.of(entry.get("OPTIONS"), f'ALIAS of TASKS[{name!r}]["OPTIONS"]')


FEATURE = Feature(
    name="tasks",
    needs=("queues",),
    state=KeptState(title="tasks", key_beginnings=lambda: ("task-result:",), places=_places, has_lifetime=False),
)
