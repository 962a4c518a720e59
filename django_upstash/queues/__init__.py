"""
A small reliable queue: what is enqueued is done at least once, and nothing is lost, wherever a process dies.

    queue = Queue("mail")
    queue.enqueue({"to": "ann@example.com"})
    for job in queue.reserve(wait=20):
        send(job.payload)
        queue.acknowledge(job)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_upstash.features import import_lazily

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

__getattr__ = import_lazily(
    __name__,
    {
        "django_upstash.queues.backoff": ["Backoff"],
        "django_upstash.queues.codecs": ["Codec", "JSONCodec", "SignedJSONCodec"],
        "django_upstash.queues.messages": ["Enqueued", "Message"],
        "django_upstash.queues.jobs": ["Job"],
        "django_upstash.queues.queue": ["Queue"],
        "django_upstash.queues.operations": ["QueueStats"],
        "django_upstash.exceptions": ["ReservationLostError"],
    },
)
