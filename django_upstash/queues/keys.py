"""
The keys of a queue: ``queue:{<name>}:…``, the name percent-encoded, all in one slot of a cluster.

    queue:{mail}:ready      sorted set: jobs to be taken, by priority and then by when they became ready
    queue:{mail}:waiting    sorted set: delayed jobs and those in flight, by when they are due (again)
    queue:{mail}:dead       sorted set: dead letters, by when they died
    queue:{mail}:wake       sorted set: tells workers that block that there is something to do
    queue:{mail}:id:<id>    an id given by the caller, for as long as it is remembered
"""

from __future__ import annotations

from urllib.parse import quote, unquote

PREFIX = "queue:{"
PATTERN = r"queue:{*}:*"
_LONGEST = 200


class QueueKeys:
    """The keys of one queue; raises ``ValueError`` for a name that is none."""

    __slots__ = ("_base", "dead", "name", "ready", "waiting", "wake")

    def __init__(self, name: object) -> None:
        if not (isinstance(name, str) and 0 < len(name) <= _LONGEST):
            raise ValueError(f"A queue's name must be a text of 1 to {_LONGEST} characters.")
        self.name = name
        self._base = f"{PREFIX}{quoted(name)}}}:"
        self.ready, self.waiting, self.dead, self.wake = (
            f"{self._base}{part}" for part in ("ready", "waiting", "dead", "wake")
        )

    def of_id(self, quoted_id: str) -> str:
        """Return the key that remembers an id, which is percent-encoded already."""
        return f"{self._base}id:{quoted_id}"


def quoted(text: str) -> str:
    """Return a text without white space, braces or colons."""
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def unquoted(text: str) -> str:
    return unquote(text, errors="surrogatepass")


def queue_name(key: str) -> str | None:
    """Return the name of the queue that a key belongs to; None for other keys."""
    name, end, _ = key.removeprefix(PREFIX).partition("}:")
    return unquoted(name) if key.startswith(PREFIX) and end else None
