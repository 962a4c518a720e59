"""
Publish and subscribe, on either route, for threads and tasks.

    publish("news", "hello")

    with subscribe("news") as messages:
        for message in messages:
            print(message.channel, message.text)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

_MODULES = {
    "Gap": "django_upstash.pubsub.items",
    "Message": "django_upstash.pubsub.items",
    "apublish": "django_upstash.pubsub.publishing",
    "apublish_many": "django_upstash.pubsub.publishing",
    "publish": "django_upstash.pubsub.publishing",
    "publish_many": "django_upstash.pubsub.publishing",
    "Subscriber": "django_upstash.pubsub.subscriber",
    "subscribe": "django_upstash.pubsub.subscriber",
}


def __getattr__(name: str) -> Any:
    # Imported at first use: what the feature declares is imported at start-up.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
