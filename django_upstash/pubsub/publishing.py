"""Publishing: one command for each message, any number of messages in one request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django_upstash.connections import connections
from django_upstash.exceptions import DataError
from django_upstash.operations import Argument, Operation, Reply, checked
from django_upstash.operations.keys import root


def publication(messages: Iterable[tuple[str, Argument]]) -> Operation[list[int]]:
    """Return the operation that publishes messages in order; its result are the numbers of those who received each."""
    commands = [("PUBLISH", root(_checked(channel)), message) for channel, message in messages]
    return Operation(commands, _numbers, replay_safe=False)


def publish(channel: str, message: Argument, *, alias: str = "default") -> int:
    """
    Publish a message and return how many subscribers the server has sent it to, patterns counted each.

    Whoever is not subscribed at this moment never sees it. Raises the errors of the connection; after a lost answer
    the message may have been published.
    """
    return publish_many([(channel, message)], alias=alias)[0]


def publish_many(messages: Iterable[tuple[str, Argument]], *, alias: str = "default") -> list[int]:
    """Publish ``(channel, message)`` pairs in one request; return how many subscribers each was sent to."""
    operation = publication(messages)
    return connections[alias].run(operation) if operation.commands else []


async def apublish(channel: str, message: Argument, *, alias: str = "default") -> int:
    """Async version of ``publish``; what is published in the same tick of the loop shares a request."""
    return (await apublish_many([(channel, message)], alias=alias))[0]


async def apublish_many(messages: Iterable[tuple[str, Argument]], *, alias: str = "default") -> list[int]:
    """Async version of ``publish_many``."""
    operation = publication(messages)
    return await connections[alias].arun(operation) if operation.commands else []


def _numbers(replies: list[Reply]) -> list[int]:
    return checked(replies)


def _checked(channel: Any) -> str:
    if not isinstance(channel, str) or not channel:
        raise DataError("A channel's name is empty or not text; name a channel.")
    return channel
