"""
Publish and subscribe, on either route, for threads and tasks.

    publish("news", "hello")

    with subscribe("news") as messages:
        for message in messages:
            print(message.channel, message.text)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_upstash.features import import_lazily

if TYPE_CHECKING:
    from django_upstash.pubsub.items import Gap, Message
    from django_upstash.pubsub.publishing import apublish, apublish_many, publish, publish_many
    from django_upstash.pubsub.subscriber import Subscriber, subscribe

__all__ = [
    "Gap",
    "Message",
    "Subscriber",
    "apublish",
    "apublish_many",
    "publish",
    "publish_many",
    "subscribe",
]

__getattr__ = import_lazily(
    __name__,
    {
        "django_upstash.pubsub.items": ["Gap", "Message"],
        "django_upstash.pubsub.subscriber": ["Subscriber", "subscribe"],
        "django_upstash.pubsub.publishing": ["apublish", "apublish_many", "publish", "publish_many"],
    },
)
