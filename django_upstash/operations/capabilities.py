"""What one server turned out to be able to do: tried, not guessed from a version number, and remembered."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from django_upstash.exceptions import NoPermissionError, UnknownCommandError

if TYPE_CHECKING:
    from django_upstash.operations import Reply
    from django_upstash.settings.conf import ConnectionSettings

# Whether integers beyond 53 bits arrive as the server has them.
EXACT_INTEGERS = "exact integers"
_EXACT_BELOW = 2**53
# What an ACL says of keys and channels, which any other command would meet as well.
_OF_KEYS = "to access"


class Capabilities:
    """
    The commands a server has refused, and whether its scripts take the key-locking flag.

    Features send the better command first and ask whether the reply ``withholds`` it: the server does not know it, or
    its ACL forbids it. From then on ``has`` is False and they send the fallback at once. What servers accept and answer
    in different ways is in ``proven`` once a reply has shown the better one.
    """

    def __init__(self, settings: ConnectionSettings) -> None:
        self.lacks: set[str] = set()
        self.proven: set[str] = set()
        # Upstash takes a database-wide lock for a script without the flag; stock Redis refuses the flag.
        host = settings.parts.hostname or ""
        is_upstash = host.endswith(".upstash.io")
        self.key_locking = settings.route == "rest" or is_upstash
        # JSON's numbers are doubles for many who write servers; a reply that a double cannot hold proves the contrary.
        self._sends_exact_integers = settings.route != "rest" or is_upstash

    def has(self, command: str) -> bool:
        return command not in self.lacks

    def withholds(self, command: str, reply: Reply) -> bool:
        """Tell whether a reply says that this command cannot be used here, and remember it."""
        if not is_withheld(reply):
            return False
        self.lacks.add(command)
        return True

    def is_exact(self, number: int) -> bool:
        """Tell whether an integer of a reply is what the server meant: it may have passed through a double."""
        if self._sends_exact_integers:
            return True
        if number in (int(float(number)), int(Decimal(repr(float(number))))):
            return abs(number) < _EXACT_BELOW
        self._sends_exact_integers = True
        return True


def is_withheld(reply: Reply) -> bool:
    """Tell whether a reply says that the server does not know a command, or that this user may not run it."""
    if isinstance(reply, UnknownCommandError):
        return True
    return isinstance(reply, NoPermissionError) and _OF_KEYS not in str(reply)
