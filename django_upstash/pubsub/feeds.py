"""A subscription that outlives its connections: it listens for signs of life, and connects again where they cease."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Protocol

from django_upstash.exceptions import AuthenticationError, ConnectionError, TimeoutError
from django_upstash.forks import random
from django_upstash.log import get_logger
from django_upstash.pubsub.buffer import Buffer
from django_upstash.pubsub.items import SIGN_OF_LIFE, Gap, Message

FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 0.1, 5.0, 2.0
# A connection that has lasted so many seconds was a good one: the next failure begins with a short pause again.
_LASTING = 5.0
# Between so many messages the loop gets its turn, and with it the task that takes them.
_SLICE = 64
logger = get_logger("django_upstash.pubsub")


class Stream(Protocol):
    """One connection on which the server has confirmed the subscription."""

    async def receive(self, seconds: float | None) -> list[Message] | None:
        """Return messages, [] for a sign of life without one, None after so many seconds of silence."""

    async def ask(self) -> bool:
        """Ask the server for a sign of life; return whether there will be one."""

    def close(self) -> None:
        """Close the connection at once."""


class Feed:
    """
    Fills a buffer from one stream after the other. A ``Gap`` comes between the messages of two streams.

    After ``heartbeat`` seconds of silence the server is asked for a sign of life, and has ``timeout`` seconds to give
    it. The first stream must open; later ones are tried until they do, with pauses of up to five seconds. Messages are
    handed on without ``environment``, which the names of all channels and patterns begin with.
    """

    def __init__(
        self,
        open_stream: Callable[[], Awaitable[Stream]],
        buffer: Buffer,
        heartbeat: float | None,
        timeout: float,
        where: str,
        environment: str = "",
    ) -> None:
        self._open_stream = open_stream
        self._where = where
        self._environment = environment
        self._buffer = buffer
        self._heartbeat = heartbeat
        self._timeout = timeout
        self._stream: Stream | None = None
        self._pause = FIRST_PAUSE

    async def open(self) -> None:
        """Subscribe; raise what keeps it from that."""
        self._stream = await self._open_stream()
        self._opened = self._heard = monotonic()

    async def run(self) -> None:
        """Receive until cancelled; raise what no reconnecting would mend."""
        while True:
            try:
                await self._receive()
            except (ConnectionError, TimeoutError) as error:
                self.close()
                logger.warning("A subscription at %s was interrupted (%s).", self._where, type(error).__name__)
            heard = self._heard
            await self._reopen()
            gap = Gap(seconds=self._heard - heard)
            logger.warning("A subscription at %s goes on; messages of %.1f s may be missing.", self._where, gap.seconds)
            self._buffer.put([gap])

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    async def _receive(self) -> None:
        """Put what comes into the buffer until the stream breaks."""
        stream = self._stream
        if stream is None:
            raise ConnectionError("The subscription has been closed.")
        while True:
            messages = await stream.receive(self._heartbeat)
            if messages is None:
                messages = await self._sign_of_life(stream)
            self._heard = monotonic()
            messages = [message.within(self._environment) for message in messages]
            messages = [message for message in messages if not message.channel.startswith(SIGN_OF_LIFE)]
            for start in range(0, len(messages), _SLICE):
                self._buffer.put(messages[start : start + _SLICE])
                await asyncio.sleep(0)

    async def _sign_of_life(self, stream: Stream) -> list[Message]:
        if not await stream.ask():
            self._heartbeat = None
            return []
        messages = await stream.receive(self._timeout)
        if messages is None:
            raise TimeoutError(f"The server gave no sign of life within {self._timeout:g} s.")
        return messages

    async def _reopen(self) -> None:
        if monotonic() - self._opened > _LASTING:
            self._pause = FIRST_PAUSE
        while True:
            # Not at once and not all together, where a server comes back to many subscribers.
            await asyncio.sleep(self._pause * random.uniform(0.1, 1.0))
            self._pause = min(self._pause * GROWTH, LONGEST_PAUSE)
            try:
                return await self.open()
            except (ConnectionError, TimeoutError) as error:
                if isinstance(error, AuthenticationError):
                    raise
                logger.debug("Subscribing again failed (%s).", type(error).__name__)
