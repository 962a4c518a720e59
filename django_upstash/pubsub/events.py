"""A subscription over REST: the server-sent events of ``/subscribe`` and ``/psubscribe``."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from secrets import token_hex
from time import monotonic
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from django_upstash.exceptions import DataError, ResponseError, TimeoutError
from django_upstash.operations import command
from django_upstash.pubsub.items import SIGN_OF_LIFE, Message

if TYPE_CHECKING:
    from django_upstash.connections import Connection
    from django_upstash.routes.rest import RestRoute
    from django_upstash.routes.rest_events import EventStream

logger = logging.getLogger("django_upstash.pubsub")


class EventsStream:
    """
    One response that is subscribed, to channels or to patterns.

    Nothing can be asked on it, so a sign of life is a message that it publishes itself, on a channel of its own.
    """

    def __init__(self, connection: Connection, events: EventStream, own_channel: str) -> None:
        self._connection = connection
        self._events = events
        self._own_channel = own_channel
        self._early: list[Message] = []

    async def confirm(self, names: Sequence[str], kind: bytes, seconds: float) -> None:
        """Wait until the server has confirmed every name."""
        unconfirmed = {name.encode() for name in names}
        deadline = monotonic() + seconds
        while unconfirmed:
            events = await self._events.receive(max(0.0, deadline - monotonic()))
            if events is None:
                raise TimeoutError(f"The server did not confirm the subscription within {seconds:g} s.")
            for event in events:
                if event.startswith(kind + b","):
                    unconfirmed.discard(event[len(kind) + 1 :].rpartition(b",")[0])
                else:
                    self._early += self._messages([event])

    async def receive(self, seconds: float | None) -> list[Message] | None:
        if self._early:
            early, self._early = self._early, []
            return early
        events = await self._events.receive(seconds)
        return None if events is None else self._messages(events)

    async def ask(self) -> bool:
        try:
            await self._connection.arun(command("PUBLISH", self._own_channel, "1"))
        except ResponseError as error:  # such as a token that may only read
            logger.warning("A subscription cannot ask for signs of life (%s).", type(error).__name__)
            return False
        return True

    def close(self) -> None:
        self._events.close()

    def _messages(self, events: Sequence[bytes]) -> list[Message]:
        found = (_message(event.decode("utf-8", "replace")) for event in events)
        return [message for message in found if message is not None]


async def open_stream(connection: Connection, names: Sequence[str], *, are_patterns: bool) -> EventsStream:
    """Open the stream of events of these channels or patterns; raise this package's errors."""
    own_channel = SIGN_OF_LIFE + token_hex(8)
    command_name = "psubscribe" if are_patterns else "subscribe"
    everything = [*names, own_channel]
    path = "/".join(quote(name, safe="") for name in everything)
    events = await cast("RestRoute", connection.route).open_events(f"/{command_name}/{path}")
    stream = EventsStream(connection, events, own_channel)
    try:
        await stream.confirm(everything, command_name.encode(), connection.settings.timeout)
    except BaseException:
        stream.close()
        raise
    return stream


def check_names(names: Sequence[str]) -> None:
    """Raise ``DataError`` for a name that an event, ``message,<channel>,<data>``, does not tell from its data."""
    for name in names:
        if "," in name or "\n" in name or "\r" in name:
            text = f"{name!r} cannot be subscribed over REST, where a comma or a line's end closes a channel's name"
            raise DataError(f"{text}; name it otherwise, or use a rediss:// URL.")


def _message(event: str) -> Message | None:
    kind, _, rest = event.partition(",")
    if kind == "message":
        channel, _, data = rest.partition(",")
        return Message(channel, data.encode())
    if kind == "pmessage":
        pattern, _, rest = rest.partition(",")
        channel, _, data = rest.partition(",")
        return Message(channel, data.encode(), pattern)
    return None
