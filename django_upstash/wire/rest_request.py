"""One HTTP request of the REST API, and what its response says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from django_upstash.operations import Command, Reply
from django_upstash.wire.http import Response


@dataclass(eq=False, slots=True)
class Request:
    """One HTTP request and how to read its response: the replies, or the requests to send in its place."""

    payload: bytes
    commands: Sequence[Command] = field(repr=False)
    replay_safe: bool | None
    read: Callable[[Response], list[Reply] | list[Request]]


def is_requests(outcome: list[Reply] | list[Request]) -> bool:
    """Tell whether a response asks for other requests instead of bringing replies."""
    return bool(outcome) and isinstance(outcome[0], Request)
