"""
A near tier: replies that this process remembers for a moment, so that asking again costs no command.

It wraps a connection, looks at the commands that pass, and remembers bytes, never objects. Whatever this
process writes is forgotten at once; what other processes write is noticed when a reply's time is over.
"""

from __future__ import annotations

import math
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from django_upstash.cache.combinators import known
from django_upstash.cache.scans import Sweep
from django_upstash.codecs import opened
from django_upstash.forks import ForkSafeLock, PerConnection
from django_upstash.operations import Argument, Command, Operation, Reply
from django_upstash.operations.steps import Runner

if TYPE_CHECKING:
    from django_upstash.cache.settings import NearCacheOptions
    from django_upstash.connections import Connection

_UNKNOWN: Final = object()
_ANSWERED = ("GET", "MGET")
_READING = frozenset({*_ANSWERED, "EXISTS", "PING", "PTTL", "SCAN", "TTL"})
# How many of their arguments are keys, from the first on.
_FIRST = {
    **dict.fromkeys(("DELEX", "DELIFEQ", "GETEX", "PERSIST", "PEXPIRE", "PEXPIREAT", "SET"), 1),
    "RENAME": 2,
}
_BUCKETS = 256

Stamp: TypeAlias = tuple[int, int]


class LocalStats(NamedTuple):
    """What a near tier has done in this process: commands it answered or not, those not sent, entries it holds."""

    hits: int = 0
    misses: int = 0
    commands_saved: int = 0
    entries: int = 0


class _Entry(NamedTuple):
    reply: bytes | None
    until: float


class NearTier:
    """
    Replies by key, the latest used ones, each for ``ttl`` seconds and no longer than the key is known to live.

    A reply is kept only where nobody has begun or ended writing the key, or one that shares its bucket, since it was
    asked for: what was read while this process wrote may be older than what it wrote.
    """

    def __init__(self, options: NearCacheOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._clock = clock
        self._hits = self._misses = self._saved = 0
        self._lock = ForkSafeLock()
        self._restart()

    def stats(self) -> LocalStats:
        with self._lock:
            return LocalStats(self._hits, self._misses, self._saved, len(self._entries))

    def find(self, key: str) -> Any:
        """Return the reply that is remembered, None among them for a key that is missing, or ``_UNKNOWN``."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry.until <= self._clock():
                self._misses += 1
                return _UNKNOWN
            _touch(self._entries, key)
            self._hits += 1
            return entry.reply

    def count_saved(self, commands: int) -> None:
        with self._lock:
            self._saved += commands

    def stamp(self, key: str) -> Stamp:
        """Return what changes whenever this key is written here."""
        return self._writes[hash(key) % _BUCKETS], self._sweeps

    def keep(self, key: str, reply: Reply, stamp: Stamp) -> None:
        """Remember a reply, unless the key has been written here since the stamp was taken."""
        if not (isinstance(reply, bytes) or (reply is None and self._options.misses)):
            return
        now = self._clock()
        until = min(now + self._options.ttl, _expiry(reply, now))
        with self._lock:
            if stamp != self.stamp(key):
                return
            entry = _Entry(reply, min(until, self._ends.get(key, until)))
            _remember(self._entries, key, entry, self._options.max_entries)

    def forget(self, keys: Sequence[str], lifetime: float | None = None) -> None:
        """Forget keys that are being written, or have been, with a lifetime in seconds where that is known."""
        with self._lock:
            for key in keys:
                self._entries.pop(key, None)
                self._ends.pop(key, None)
                self._writes[hash(key) % _BUCKETS] += 1
                if lifetime is not None:
                    _remember(self._ends, key, self._clock() + lifetime, self._options.max_entries)

    def forget_everything(self) -> None:
        with self._lock:
            self._entries.clear()
            self._ends.clear()
            self._sweeps += 1

    def after_fork(self) -> None:
        self._restart()

    def _restart(self) -> None:
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._ends: OrderedDict[str, float] = OrderedDict()
        self._writes = [0] * _BUCKETS
        self._sweeps = 0


class Near:
    """Runs operations on the server, but for those whose replies are remembered."""

    def __init__(self, server: Runner, tier: NearTier) -> None:
        self._server = server
        self._tier = tier

    def run(self, operation: Operation[Any]) -> Any:
        operation = self._answered(operation)
        if not operation.commands:
            return operation.parse([])
        try:
            return self._server.run(self._watched(operation))
        except BaseException:
            self._forget(operation)
            raise

    async def arun(self, operation: Operation[Any]) -> Any:
        operation = self._answered(operation)
        if not operation.commands:
            return operation.parse([])
        try:
            return await self._server.arun(self._watched(operation))
        except BaseException:
            self._forget(operation)
            raise

    def _answered(self, operation: Operation[Any]) -> Operation[Any]:
        """Return what is left to be asked: an operation without commands, where all is remembered."""
        while operation.commands and all(command[0] in _ANSWERED for command in operation.commands):
            found = [[self._tier.find(str(key)) for key in keys] for _, *keys in operation.commands]
            if any(_UNKNOWN in replies for replies in found):
                return _partly(operation, found[0]) if _only(operation) == "MGET" else operation
            self._tier.count_saved(len(found))
            result = operation.parse([_reply(*pair) for pair in zip(operation.commands, found, strict=True)])
            if not isinstance(result, Operation):
                return known(result)
            operation = result
        return operation

    def _watched(self, operation: Operation[Any]) -> Operation[Any]:
        """Return the operation that forgets what it writes, before and after, and remembers what it reads."""
        stamps = [self._begin(operation, command) for command in operation.commands]

        def parse(replies: list[Reply]) -> Any:
            for command, stamp, reply in zip(operation.commands, stamps, replies, strict=True):
                self._end(command, stamp, reply)
            result = operation.parse(replies)
            return self._watched(self._answered(result)) if isinstance(result, Operation) else result

        return Operation(operation.commands, parse, atomic=operation.atomic, replay_safe=operation.replay_safe)

    def _begin(self, operation: Operation[Any], command: Command) -> list[Stamp]:
        name, *keys = command
        if name in _ANSWERED:
            return [self._tier.stamp(str(key)) for key in keys]
        if isinstance(operation, Sweep) or _written(command) is None:
            self._tier.forget_everything()
        else:
            self._tier.forget(_written(command) or ())
        return []

    def _end(self, command: Command, stamps: list[Stamp], reply: Reply) -> None:
        name, *keys = command
        if name not in _ANSWERED:
            self._tier.forget(_written(command) or (), None if reply is None else _lifetime(command))
        elif not isinstance(reply, Exception):
            replies = reply if isinstance(reply, list) else [reply]
            for key, stamp, found in zip(keys, stamps, replies, strict=True):
                self._tier.keep(str(key), found, stamp)

    def _forget(self, operation: Operation[Any]) -> None:
        # It may have been written, or be written yet.
        for command in operation.commands:
            self._tier.forget(_written(command) or ())


def _only(operation: Operation[Any]) -> Argument | None:
    return operation.commands[0][0] if len(operation.commands) == 1 else None


def _reply(command: Command, found: list[Any]) -> Reply:
    return found if command[0] == "MGET" else found[0]


def _partly(operation: Operation[Any], found: list[Any]) -> Operation[Any]:
    """Return the operation that asks for those keys alone which are not remembered."""
    asked = [key for key, reply in zip(operation.commands[0][1:], found, strict=True) if reply is _UNKNOWN]

    def parse(replies: list[Reply]) -> Any:
        if not isinstance(replies[0], list):
            return operation.parse(replies)
        fresh = iter(replies[0])
        return operation.parse([[next(fresh) if reply is _UNKNOWN else reply for reply in found]])

    return Operation((("MGET", *asked),), parse)


def _written(command: Command) -> list[str] | None:
    """Return the keys that a command writes, or None where it does not say which."""
    name, *arguments = command
    if name in _READING:
        return []
    if name in _FIRST:
        arguments = arguments[: _FIRST[str(name)]]
    elif name == "MSET":
        arguments = arguments[::2]
    elif name == "MSETEX":
        arguments = arguments[1 : 1 + 2 * int(arguments[0]) : 2]
    elif name in ("EVAL", "EVALSHA"):
        arguments = arguments[2 : 2 + int(arguments[1])]
    elif name not in ("DEL", "UNLINK"):
        return None
    return [str(key) for key in arguments]


def _lifetime(command: Command) -> float | None:
    """Return the lifetime in seconds that a command gives the keys it writes, where it says so."""
    if command[0] == "PEXPIRE":
        return float(command[2]) / 1000
    if command[0] in ("MSETEX", "SET") and "PX" in command[3:]:
        return float(command[command.index("PX", 3) + 1]) / 1000
    return None


def _expiry(reply: Reply, now: float) -> float:
    """Return when what is stored expires, as the clock goes, where its envelope says so."""
    envelope = opened(reply) if isinstance(reply, bytes) else None
    if envelope is None or envelope.label.expires is None:
        return math.inf
    return now + envelope.label.expires / 1000 - time.time()


def _remember(kept: OrderedDict[str, Any], key: str, value: Any, most: int) -> None:
    kept[key] = value
    _touch(kept, key)
    while len(kept) > most:
        kept.popitem(last=False)


def _touch(kept: OrderedDict[str, Any], key: str) -> None:
    """Note a use. What the collector ends meanwhile, in this very thread, may have removed the key."""
    try:
        kept.move_to_end(key)
    except KeyError:
        return


_MOST_UNUSED = 1000


class _ByPrefix:
    """
    The near tiers of one connection.

    Those that a cache object uses are kept, and of the others the latest: each tenant has a prefix, and so a tier.
    """

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._used: weakref.WeakValueDictionary[str, NearTier] = weakref.WeakValueDictionary()
        self._latest: OrderedDict[str, NearTier] = OrderedDict()

    def __len__(self) -> int:
        return len(self._used)

    def of(self, prefix: str, options: NearCacheOptions) -> NearTier:
        with self._lock:
            tier = self._used.get(prefix) or self._used.setdefault(prefix, NearTier(options))
            _remember(self._latest, prefix, tier, _MOST_UNUSED)
            return tier

    def after_fork(self) -> None:
        for tier in list(self._used.values()):
            tier.after_fork()


class _Tiers:
    """The near tiers of a process, by connection and prefix."""

    def __init__(self) -> None:
        self._by_prefix = PerConnection(_ByPrefix, _ByPrefix.after_fork)

    def of(self, connection: Connection, prefix: str, options: NearCacheOptions) -> NearTier:
        """Return the one that all cache objects with this connection and prefix share, as who came first wants it."""
        return self._by_prefix.of(connection).of(prefix, options)

    def count(self, connection: Connection) -> int:
        """Return how many there are of a connection."""
        return len(self._by_prefix.of(connection))


tiers = _Tiers()
