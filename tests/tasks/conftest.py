"""A task backend on each route, and its worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def configure(upstash: dict[str, dict[str, Any]], route: str, settings: Any) -> Callable[..., Any]:
    """Return ``configure(**options)``: the backend whose ``OPTIONS`` these are, on the route."""
    from django.tasks import task_backends

    def make(**options: Any) -> Any:
        settings.TASKS = {
            "default": {
                "BACKEND": "django_upstash.tasks.UpstashBackend",
                "QUEUES": ["default", "urgent"],
                "OPTIONS": {"ALIAS": route, **options},
            }
        }
        return task_backends["default"]

    return make


@pytest.fixture
def backend(configure: Callable[..., Any]) -> Any:
    return configure()


@pytest.fixture
def work() -> Callable[..., None]:
    """Return ``work(backend, **options)``, which runs what is ready."""
    from django_upstash.tasks.worker import Worker

    def burst(backend: Any, *names: str, **options: Any) -> None:
        Worker(backend, names or ("urgent", "default"), burst=True, **options).run()

    return burst
