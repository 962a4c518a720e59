"""What a route is: the one way down to the server, the same for every feature."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence
from functools import lru_cache
from typing import ClassVar

from django_upstash.exceptions import DataError
from django_upstash.forks import reset_after_fork
from django_upstash.operations import Argument, Command, Reply
from django_upstash.wire.traffic import Traffic

_NAMES = (
    "ASKING AUTH BLMOVE BLMPOP BLPOP BRPOP BRPOPLPUSH BZMPOP BZPOPMAX BZPOPMIN CLIENT DISCARD EXEC HELLO MONITOR MULTI "
    "PSUBSCRIBE PSYNC PUNSUBSCRIBE QUIT READONLY READWRITE RESET SELECT SSUBSCRIBE SUBSCRIBE SUNSUBSCRIBE SYNC "
    "UNSUBSCRIBE UNWATCH WAIT WAITAOF WATCH"
).split()
# Commands that block, or that change the connection they run on, which here belongs to the next caller as well.
STATEFUL_COMMANDS = frozenset[bytes | str]([*_NAMES, *(name.encode() for name in _NAMES)])

# Those that nearly every request consists of, which need no closer look.
HARMLESS = frozenset[Argument]("DEL EVALSHA EXISTS GET INCR INCRBY MGET PEXPIRE PTTL SET".split())

_routes: weakref.WeakSet[Route] = weakref.WeakSet()


class Route(ABC):
    """
    Sends commands to one server and returns their replies: bytes, int, None, lists of these, errors in their slots.

    ``replay_safe`` says whether the commands may be sent a second time after a failure in which they may have run;
    None lets their names decide. Raises ``ConnectionError``, ``TimeoutError`` or ``DataError`` (exceptions.py), and
    returns every ``ResponseError`` in the slot of its command.
    """

    name: ClassVar[str]

    def __init__(self) -> None:
        self.traffic = Traffic()
        _routes.add(self)

    @abstractmethod
    def execute(
        self, commands: Sequence[Command], *, atomic: bool = False, replay_safe: bool | None = None
    ) -> list[Reply]:
        """Run the commands in one network round trip."""

    @abstractmethod
    def aexecute(
        self, commands: Sequence[Command], *, atomic: bool = False, replay_safe: bool | None = None
    ) -> Awaitable[list[Reply]]:
        """Run the commands in one network round trip, shared with whatever else starts in this tick of the loop."""

    @property
    @abstractmethod
    def open_connections(self) -> int:
        """How many connections the threads of the process have open to the alias now; event loops have their own."""

    @abstractmethod
    def close(self) -> None:
        """Release every socket. The route opens new ones when it is used again."""

    @abstractmethod
    def after_fork(self) -> None:
        """In a forked child: forget the parent's sockets and locks without touching them."""


@lru_cache(maxsize=256)
def _is_stateful(name: Argument) -> bool:
    return isinstance(name, str | bytes) and name.upper() in STATEFUL_COMMANDS


def refuse_stateful(commands: Sequence[Command]) -> None:
    """Raise ``DataError`` for a command that blocks or that changes the connection it runs on."""
    for command in commands:
        name = command[0]
        if name not in HARMLESS and _is_stateful(name):
            shown = name.decode() if isinstance(name, bytes) else name
            raise DataError(
                f"{shown} needs a connection of its own and cannot run on a shared one; "
                "use atomic=True for a transaction, or `connection.redis.client()` on the native route."
            )


def aborted(count: int, cause: object) -> list[Reply]:
    """Return the replies of a transaction of which nothing ran: the same error in every slot."""
    from django_upstash.exceptions import ExecAbortError

    return [ExecAbortError(f"Transaction discarded, nothing of it ran: {cause}") for _ in range(count)]


@reset_after_fork
def _after_fork() -> None:
    for route in list(_routes):
        route.after_fork()
