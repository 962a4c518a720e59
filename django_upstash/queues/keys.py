"""
The keys of a queue: ``queue:{<name>}:…``, the name percent-encoded, all in one slot of a cluster.

The prefix of the environment comes before that, where there is one.

    queue:{mail}:ready      sorted set: jobs to be taken, by priority and then by when they became ready
    queue:{mail}:waiting    sorted set: delayed jobs and those in flight, by when they are due (again)
    queue:{mail}:dead       sorted set: dead letters, by when they died
    queue:{mail}:wake       sorted set: tells workers that block that there is something to do
    queue:{mail}:id:<id>    an id given by the caller, for as long as it is remembered
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from django_upstash.operations.keys import glob_escape, root

_LONGEST = 200


class QueueKeys:
    """The keys of one queue; raises ``ValueError`` for an invalid name. Making one reads no settings."""

    __slots__ = ("_quoted", "name")

    def __init__(self, name: object) -> None:
        if not (isinstance(name, str) and 0 < len(name) <= _LONGEST):
            raise ValueError(f"A queue's name must be a text of 1 to {_LONGEST} characters.")
        self.name = name
        self._quoted = quoted(name)

    @property
    def ready(self) -> str:
        return f"{self._base}ready"

    @property
    def waiting(self) -> str:
        return f"{self._base}waiting"

    @property
    def dead(self) -> str:
        return f"{self._base}dead"

    @property
    def wake(self) -> str:
        return f"{self._base}wake"

    def of_id(self, quoted_id: str) -> str:
        """Return the key that remembers an id, which is percent-encoded already."""
        return f"{self._base}id:{quoted_id}"

    @property
    def _base(self) -> str:
        return f"{beginning()}{self._quoted}}}:"


def beginning() -> str:
    """Return what the keys of all queues begin with, up to the brace before their names."""
    return root("queue:{")


def pattern() -> str:
    """Return the pattern of the keys of all queues."""
    return f"{glob_escape(beginning())}*}}:*"


def quoted(text: str) -> str:
    """Return a text without white space, braces or colons."""
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def unquoted(text: str) -> str:
    """Return what was quoted; of what was not, such as bytes that are no text, a form that can be shown."""
    try:
        return unquote(text, errors="surrogatepass")
    except UnicodeDecodeError:
        return unquote(text, errors="backslashreplace")


def queue_name(key: str) -> str | None:
    """Return the name of the queue that a key belongs to; None for other keys."""
    start = beginning()
    name, end, _ = key.removeprefix(start).partition("}:")
    return unquoted(name) if key.startswith(start) and end else None
