"""What a subscriber receives: messages, and the news that some are missing."""

from __future__ import annotations

from dataclasses import dataclass, replace

# Channels on which subscribers over REST send themselves signs of life. Nobody else's business, whatever the pattern.
SIGN_OF_LIFE = "django_upstash:sign-of-life:"


@dataclass(frozen=True, slots=True)
class Message:
    """A message: its channel, its bytes, and the pattern that it came by, if any."""

    channel: str
    data: bytes
    pattern: str | None = None

    @property
    def text(self) -> str:
        """The message as text; raises ``UnicodeDecodeError`` for bytes that are not UTF-8."""
        return self.data.decode()

    def within(self, environment: str) -> Message:
        """Return the message as its environment knows it, whose channels all begin so at the server."""
        if not environment:
            return self
        pattern = None if self.pattern is None else self.pattern.removeprefix(environment)
        return replace(self, channel=self.channel.removeprefix(environment), pattern=pattern)

    def __repr__(self) -> str:
        return f"<Message on {self.channel!r}: {len(self.data)} bytes>"


@dataclass(frozen=True, slots=True)
class Gap:
    """
    A place where messages are missing.

    ``seconds`` lie between the server's last sign of life on a broken connection and the subscription on the next: what
    was published then, nobody knows. ``dropped`` is how many messages came and were not kept, because the subscriber
    had not taken those before them.
    """

    seconds: float = 0.0
    dropped: int = 0

    def __add__(self, other: Gap) -> Gap:
        return Gap(self.seconds + other.seconds, self.dropped + other.dropped)
