"""What one server turned out to be able to do: tried, not guessed from a version number, and remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django_upstash.conf import ConnectionSettings


class Capabilities:
    """
    The commands a server has refused, and whether its scripts take the key-locking flag.

    Features send the better command first and call ``lacks.add`` when the reply is an ``UnknownCommandError``; from
    then on ``has`` is False and they send the fallback at once. What servers accept and answer in different ways is in
    ``proven`` once a reply has shown the better one.
    """

    def __init__(self, settings: ConnectionSettings) -> None:
        self.lacks: set[str] = set()
        self.proven: set[str] = set()
        # Upstash takes a database-wide lock for a script without the flag; stock Redis refuses the flag.
        host = settings.parts.hostname or ""
        self.key_locking = settings.route == "rest" or host.endswith(".upstash.io")

    def has(self, command: str) -> bool:
        return command not in self.lacks
