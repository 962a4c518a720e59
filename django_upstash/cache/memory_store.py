"""
The commands that a cache's operations send, answered by this process while the server is away.

Only strings, and of their commands only those that a cache uses. What it answers is bounded in number, is this
process's alone, and ends with the outage.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import cache as once
from hashlib import sha1
from typing import Any, TypeAlias, cast

from django_upstash.codecs import opened
from django_upstash.exceptions import ResponseError, ServerAwayError
from django_upstash.operations import Argument, Command, Reply, scripts
from django_upstash.operations.key_scan import glob

MOST_ENTRIES = 10_000
MOST_CHANGES = 10_000
_INT = re.compile(rb"0|-?[1-9]\d{0,18}")
_LEAST, _MOST = -(2**63), 2**63 - 1

Deadline: TypeAlias = float | None  # milliseconds since 1970


class StandIn:
    """
    A server's place, kept warm. It takes no lock: who uses it does.

    ``changed`` are the keys that have been stored or deleted here, ``MOST_CHANGES`` at most; where there were more,
    or nobody knows which, ``changed_everything`` is True.
    """

    def __init__(self, most: int = MOST_ENTRIES) -> None:
        self._most = most
        self._entries: OrderedDict[str, tuple[bytes, Deadline]] = OrderedDict()
        self.changed: dict[str, None] = {}
        self.changed_everything = False

    def __len__(self) -> int:
        return len(self._entries)

    def execute(self, commands: Sequence[Command]) -> list[Reply]:
        """Answer as the server would, errors in their slots; raise ``ServerAwayError`` for what only it can answer."""
        return [self._answer(command) for command in commands]

    def note(self, keys: Iterable[str]) -> None:
        """Remember that these keys have changed."""
        if not self.changed_everything:
            self.changed.update(dict.fromkeys(keys))
            if len(self.changed) > MOST_CHANGES:
                self.note_everything()

    def note_everything(self) -> None:
        """Remember that any key may have changed."""
        self.changed_everything = True
        self.changed = {}

    def clear(self) -> None:
        """Forget all entries and all changes."""
        self._entries.clear()
        self.changed = {}
        self.changed_everything = False

    def _answer(self, command: Command) -> Reply:
        name, arguments = str(command[0]), command[1:]
        handler = _HANDLERS.get(name)
        if handler is None:
            raise ServerAwayError(f"The server is away, and this process cannot answer {name} in its place.")
        try:
            return handler(self, *arguments)
        except ResponseError as error:
            return error

    def _find(self, key: Argument) -> tuple[bytes, Deadline] | None:
        entry = self._entries.get(str(key))
        if entry is None:
            return None
        if entry[1] is not None and entry[1] <= _now():
            del self._entries[str(key)]
            return None
        self._entries.move_to_end(str(key))
        return entry

    def _store(self, key: Argument, value: Argument, deadline: Deadline) -> None:
        name = str(key)
        self.note([name])
        if deadline is not None and deadline <= _now():
            self._entries.pop(name, None)
            return
        self._entries[name] = _bytes(value), deadline
        self._entries.move_to_end(name)
        while len(self._entries) > self._most:
            self._entries.popitem(last=False)

    def _get(self, key: Argument) -> Reply:
        entry = self._find(key)
        return None if entry is None else entry[0]

    def _mget(self, *keys: Argument) -> Reply:
        return [self._get(key) for key in keys]

    def _getex(self, key: Argument, option: Argument) -> Reply:
        self._persist(key)
        return self._get(key)

    def _set(self, key: Argument, value: Argument, *options: Argument) -> Reply:
        found = self._find(key)
        if ("NX" in options and found) or ("XX" in options and not found):
            return None
        kept = found[1] if found and "KEEPTTL" in options else None
        self._store(key, value, _lifetime(options) if "PX" in options else kept)
        return b"OK"

    def _mset(self, *pairs: Argument) -> Reply:
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            self._store(key, value, None)
        return b"OK"

    def _msetex(self, number: Argument, *arguments: Argument) -> Reply:
        end = 2 * int(number)
        for key, value in zip(arguments[:end:2], arguments[1:end:2], strict=True):
            self._store(key, value, _lifetime(arguments[end:]))
        return 1

    def _del(self, *keys: Argument) -> Reply:
        # One that is missing here may be there on the server.
        self.note(map(str, keys))
        return sum(self._find(key) is not None and self._entries.pop(str(key)) is not None for key in keys)

    def _exists(self, *keys: Argument) -> Reply:
        return sum(self._find(key) is not None for key in keys)

    def _delete_where_equal(self, key: Argument, *condition: Argument) -> Reply:
        return self._del(key) if self._get(key) == _bytes(condition[-1]) else 0

    def _expire_at(self, key: Argument, deadline: Argument) -> Reply:
        return self._expire_in(key, float(deadline) - time.time() * 1000)

    def _expire_in(self, key: Argument, milliseconds: float) -> Reply:
        found = self._find(key)
        if found is None:
            return 0
        self._store(key, found[0], _now() + milliseconds)
        return 1

    def _pexpire(self, key: Argument, milliseconds: Argument) -> Reply:
        return self._expire_in(key, float(milliseconds))

    def _persist(self, key: Argument) -> Reply:
        found = self._find(key)
        if found is None or found[1] is None:
            return 0
        self._store(key, found[0], None)
        return 1

    def _pttl(self, key: Argument) -> Reply:
        found = self._find(key)
        if found is None:
            return -2
        return -1 if found[1] is None else max(0, round(found[1] - _now()))

    def _ttl(self, key: Argument) -> Reply:
        left = cast(int, self._pttl(key))
        return left if left < 0 else (left + 500) // 1000

    def _rename(self, key: Argument, other: Argument) -> Reply:
        found = self._find(key)
        if found is None:
            raise ResponseError("no such key")
        self._del(key)
        self._store(other, *found)
        return b"OK"

    def _scan(self, cursor: Argument, match: Argument, pattern: Argument, *count: Argument) -> Reply:
        matches = glob(str(pattern)).fullmatch
        return [b"0", [key.encode() for key in list(self._entries) if matches(key) and self._find(key)]]

    def _evalsha(self, script: Argument, number: Argument, *arguments: Argument) -> Reply:
        handler = _scripts().get(script)
        if handler is None:
            raise ServerAwayError("The server is away, and this process cannot run a script in its place.")
        return handler(self, arguments[: int(number)], arguments[int(number) :])

    def _incr(self, keys: Sequence[Argument], arguments: Sequence[Argument]) -> Reply:
        found = self._find(keys[0])
        if found is None:
            return None
        step = _bytes(arguments[0])
        if not (_INT.fullmatch(found[0]) and _INT.fullmatch(step)):
            return [found[0]]
        total = int(found[0]) + int(step)
        if not _LEAST <= total <= _MOST:
            return [found[0]]
        self._store(keys[0], total, found[1])
        return total

    def _compare_and_set(self, keys: Sequence[Argument], arguments: Sequence[Argument]) -> Reply:
        digest, value, reads, *options = arguments
        found = self._find(keys[0])
        if found is None:
            return None
        if sha1(found[0], usedforsecurity=False).hexdigest() != digest:
            return [found[0]] if reads == "1" else None
        self._set(keys[0], value, *options)
        return 1

    def _release(self, keys: Sequence[Argument], arguments: Sequence[Argument]) -> Reply:
        return self._delete_where_equal(keys[0], arguments[0])

    def _unless_invalidated(self, keys: Sequence[Argument], arguments: Sequence[Argument]) -> Reply:
        known, _, *command = arguments
        envelope = opened(self._get(keys[0]) or b"")  # type: ignore[arg-type]
        tags = envelope.label.tags if envelope else ()
        carried = ",".join(f"{tag}={version}" for tag, version in tags).encode()
        if tags and carried != _bytes(known):
            return [carried]
        if any(self._get(record) != version.encode() for record, (_, version) in zip(keys[1:], tags, strict=False)):
            self._del(keys[0])
        return self._answer((command[0], keys[0], *command[1:]))


Handler: TypeAlias = Callable[..., Reply]

_HANDLERS: dict[str, Handler] = {
    "DEL": StandIn._del,
    "DELEX": StandIn._delete_where_equal,
    "DELIFEQ": StandIn._delete_where_equal,
    "EVALSHA": StandIn._evalsha,
    "EXISTS": StandIn._exists,
    "GET": StandIn._get,
    "GETEX": StandIn._getex,
    "MGET": StandIn._mget,
    "MSET": StandIn._mset,
    "MSETEX": StandIn._msetex,
    "PERSIST": StandIn._persist,
    "PEXPIRE": StandIn._pexpire,
    "PEXPIREAT": StandIn._expire_at,
    "PTTL": StandIn._pttl,
    "RENAME": StandIn._rename,
    "SCAN": StandIn._scan,
    "SET": StandIn._set,
    "TTL": StandIn._ttl,
    "UNLINK": StandIn._del,
}
_SCRIPTS: dict[str, Handler] = {
    "operations/compare_and_set": StandIn._compare_and_set,
    "cache/incr": StandIn._incr,
    "operations/release": StandIn._release,
    "cache/unless_invalidated": StandIn._unless_invalidated,
}


@once
def _scripts() -> dict[Any, Handler]:
    return {name: handler for script, handler in _SCRIPTS.items() for name in scripts.load(script).names}


def _now() -> float:
    """Return milliseconds of a clock that nobody sets."""
    return time.monotonic() * 1000


def _lifetime(options: Sequence[Argument]) -> Deadline:
    return _now() + int(options[options.index("PX") + 1])


def _bytes(argument: Argument) -> bytes:
    return bytes(argument) if isinstance(argument, bytes) else str(argument).encode()
