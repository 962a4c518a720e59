"""
A small reliable queue: what is enqueued is done at least once, and nothing is lost, wherever a process dies.

    queue = Queue("mail")
    queue.enqueue({"to": "ann@example.com"})
    for job in queue.reserve(wait=20):
        send(job.payload)
        queue.acknowledge(job)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_upstash.exceptions import ReservationLostError
    from django_upstash.queues.backoff import Backoff
    from django_upstash.queues.codecs import Codec, JSONCodec, SignedJSONCodec
    from django_upstash.queues.jobs import Job
    from django_upstash.queues.messages import Enqueued, Message
    from django_upstash.queues.operations import QueueStats
    from django_upstash.queues.queue import Queue

__all__ = [
    "Backoff",
    "Codec",
    "Enqueued",
    "JSONCodec",
    "Job",
    "Message",
    "Queue",
    "QueueStats",
    "ReservationLostError",
    "SignedJSONCodec",
]

_MODULES = {
    "ReservationLostError": "django_upstash.exceptions",
    "Backoff": "django_upstash.queues.backoff",
    "Codec": "django_upstash.queues.codecs",
    "JSONCodec": "django_upstash.queues.codecs",
    "SignedJSONCodec": "django_upstash.queues.codecs",
    "Job": "django_upstash.queues.jobs",
    "Enqueued": "django_upstash.queues.messages",
    "Message": "django_upstash.queues.messages",
    "QueueStats": "django_upstash.queues.operations",
    "Queue": "django_upstash.queues.queue",
}


def __getattr__(name: str) -> Any:
    # Imported at first use: what the feature declares is imported at start-up.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
