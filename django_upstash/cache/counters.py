"""Counting: one script adds to an integer; what is no 64-bit integer is added to in Python, and compared-and-set."""

from __future__ import annotations

from typing import Any

from django_upstash.cache.cache_keys import Keyspace
from django_upstash.cache.combinators import failing
from django_upstash.cache.operations import MISSING
from django_upstash.cache.tags import guard, remains
from django_upstash.codecs import Opened, opened, sealed
from django_upstash.exceptions import ResponseError
from django_upstash.operations import Operation, Reply, command, only, scripts, then
from django_upstash.operations.compare_and_set import Swap, compare_digest_and_set

_EXACT = 2**53


def incr(
    space: Keyspace,
    key: Any,
    delta: Any = 1,
    version: Any = None,
    ignore_key_check: bool = False,
) -> Operation[Any]:
    """
    Add ``delta``, keep the lifetime, and return the sum.

    Raises ``ValueError`` for a missing key, unless ``ignore_key_check`` lets it begin at ``delta``.
    """
    return _Addition(space, key, delta, version, begins=ignore_key_check).operation()


def decr(space: Keyspace, key: Any, delta: Any = 1, version: Any = None) -> Operation[Any]:
    """Subtract ``delta``, keep the lifetime, and return the difference; ``ValueError`` for a missing key."""
    return incr(space, key, -delta, version)


class _Addition:
    """Adds to the value of one key: on the server to an integer, and here to what only Python can add to."""

    def __init__(self, space: Keyspace, key: Any, delta: Any, version: Any, *, begins: bool) -> None:
        self._space = space
        self._key = key
        self._delta = delta
        self._begins = begins
        self._stored, self._context = space.name(key, version)
        self._step = str(delta) if type(delta) is int and delta.bit_length() < 64 else ""

    def operation(self) -> Operation[Any]:
        """Return the operation that adds, whose result is the sum."""
        return scripts.load("cache/incr").operation(
            self._space.capabilities, [self._stored], [self._step], self._read_sum, instead=self._by_commands
        )

    def _by_commands(self) -> Operation[Any]:
        """
        Return what the script does, in commands that its user may run, as Django's own backend does.

        A key that expires between the two of them begins at the step, without a lifetime.
        """
        return Operation((("EXISTS", self._stored),), self._add_where_there) if self._step else self._get()

    def _add_where_there(self, replies: list[Reply]) -> Any:
        if not only(replies):
            return self._add_in_python(None)
        return Operation((("INCRBY", self._stored, self._step),), self._read_incrby, replay_safe=False)

    def _read_incrby(self, replies: list[Reply]) -> Any:
        reply = replies[0]
        if isinstance(reply, ResponseError) and ("not an integer" in str(reply) or "overflow" in str(reply)):
            return self._get()
        # An integer beyond 53 bits may have passed through a double on its way.
        is_exact = abs(only(replies)) < _EXACT
        return only(replies) if is_exact else then(command("GET", self._stored), self._read_text)

    def _read_text(self, text: bytes | None) -> Any:
        return self._add_in_python(None) if text is None else int(text)

    def _get(self) -> Operation[Any]:
        return then(command("GET", self._stored), self._add_in_python)

    def _read_sum(self, replies: list[Reply]) -> Any:
        reply: Any = only(replies)
        if isinstance(reply, int | bytes):
            return int(reply)
        return self._add_in_python(None if reply is None else reply[0])

    def _add_in_python(self, before: bytes | None) -> Operation[Any]:
        """Return the operation that adds to a value which the server cannot add to; None is a missing key."""
        if before is None:
            return self._begin() if self._begins else self._missing()
        envelope = opened(before)
        if envelope is None or not envelope.label.tags:
            return self._replace(before, envelope)
        remaining = remains(self._space, self._stored)
        return then(remaining, lambda there: self._replace(before, envelope) if there else self.operation())

    def _replace(self, before: bytes, envelope: Opened | None) -> Operation[Any]:
        """Return the operation that stores the sum; where the value has changed by then, it goes on with that one."""
        inner, context = (envelope.inner, envelope.context(self._context)) if envelope else (before, self._context)
        value = self._space.loads(inner, context, MISSING)
        if value is MISSING:
            return self._missing()
        try:
            total = value + self._delta
            encoded = self._space.dumps(total, context)
        except Exception as error:  # of the caller's types
            return failing(error)
        after = sealed(envelope.line, encoded) if envelope else encoded
        swapping = compare_digest_and_set(
            self._space.capabilities, Swap(self._stored, before, after, options=("KEEPTTL",))
        )
        return then(swapping, lambda found: total if found is True else self._add_in_python(found))

    def _begin(self) -> Operation[Any]:
        def was_stored(replies: list[Reply]) -> Any:
            # Somebody else began in between: add to theirs.
            return self.operation() if only(replies) is None else self._delta

        setting = ("SET", self._stored, self._space.dumps(self._delta, self._context), "NX")
        return guard(self._space, Operation((setting,), was_stored))

    def _missing(self) -> Operation[Any]:
        return failing(ValueError(f"Key '{self._key}' not found"))
