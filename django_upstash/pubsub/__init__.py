"""
Publish and subscribe, on either route, for threads and tasks.

    publish("news", "hello")

    with subscribe("news") as messages:
        for message in messages:
            print(message.channel, message.text)
"""

from __future__ import annotations

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
