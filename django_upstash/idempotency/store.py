"""The store: who works on an idempotency key, and what came of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any, Protocol

from django_upstash.codecs.sealing import Rejected
from django_upstash.connections import Connection, connections
from django_upstash.exceptions import ConnectionError
from django_upstash.idempotency import operations
from django_upstash.idempotency.keys import canonical_json, fingerprint, name_of
from django_upstash.idempotency.operations import Reservation
from django_upstash.idempotency.options import options
from django_upstash.idempotency.records import Record, RecordSealer, new_token, record_sealer
from django_upstash.log import get_logger
from django_upstash.operations import Operation
from django_upstash.operations.steps import on_connection
from django_upstash.settings import conf

logger = get_logger("django.security.SuspiciousIdempotencyKey")


class State(Enum):
    """What ``begin`` found: nothing, so the caller is to work; work; a result; or another payload's key."""

    NEW = "new"
    IN_PROGRESS = "in progress"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


class ResultSerializer(Protocol):
    """What turns results into bytes and back. ``loads`` is given nothing that was not sealed by this site."""

    def dumps(self, value: Any, /) -> bytes: ...
    def loads(self, data: bytes, /) -> Any: ...


class JSONSerializer:
    """JSON, which has no tuples and no bytes; raises ``TypeError`` for what it lacks."""

    def dumps(self, value: Any) -> bytes:
        return canonical_json(value)

    def loads(self, data: bytes) -> Any:
        return json.loads(data)


@dataclass(frozen=True)
class Result:
    """
    What ``begin`` found of a key. ``value`` is the stored result of a ``DUPLICATE``, and None otherwise.

    That of a ``NEW`` key is the owner's: ``complete``, ``release`` and ``renew`` take it.
    """

    state: State
    key: str
    value: Any = field(default=None, repr=False)
    reservation: Reservation | None = field(default=None, repr=False)
    fingerprint: str = field(default="", repr=False)

    @property
    def is_new(self) -> bool:
        return self.state is State.NEW


class IdempotencyStore:
    """
    Lets one caller work on a key, and gives all others what came of it.

        store = IdempotencyStore(tenant="shop")
        result = store.begin("order-42", {"amount": 100})
        if result.is_new:
            store.complete(result, charge(100))

    ``tenant`` keeps one customer's keys apart from another's; ``alias`` names a connection of ``UPSTASH``. A result is
    kept for ``ttl``; who works on a key owns it for ``in_progress_ttl``, after which the next one may. Both are seconds
    or a ``timedelta``. What is None follows ``settings.UPSTASH_IDEMPOTENCY``. Results are JSON, or what ``serializer``
    says.

    Making one does no I/O and reads no settings. One object serves all threads and tasks. Every method raises
    ``UpstashError`` where the server cannot be asked, or refuses.
    """

    def __init__(
        self,
        *,
        tenant: str | None = None,
        alias: str | None = None,
        ttl: float | timedelta | None = None,
        in_progress_ttl: float | timedelta | None = None,
        serializer: ResultSerializer | None = None,
    ) -> None:
        self._tenant = tenant
        self._alias = alias
        self._ttl = _checked("ttl", ttl)
        self._in_progress_ttl = _checked("in_progress_ttl", in_progress_ttl)
        self._serializer = serializer or JSONSerializer()

    def __repr__(self) -> str:
        return f"<IdempotencyStore {self._tenant or 'of the settings'}>"

    def _begin(self, key: str, payload: object = None) -> Operation[Result]:
        """
        Reserve the key where nobody has, and return what is known of it.

        ``payload`` is what the work is to be done on, bytes or JSON: a key that comes with another one is a
        ``CONFLICT``. A record that this site did not write counts as missing and is logged. Raises ``ValueError``
        for a key that is empty or longer than 1024 characters, ``TypeError`` for a payload that is not JSON.
        """
        settings = options()
        name = name_of(self._tenant or settings.tenant, key)
        first, *others = conf.signing_secrets()
        known = fingerprint(payload, first)
        body = self._sealer.seal(name, Record(False, new_token(), known))
        wanted = Reservation(name, body, _milliseconds(self._in_progress_ttl or settings.in_progress_ttl))

        def judge(found: bytes | None) -> Any:
            if found is None:
                return Result(State.NEW, key, reservation=wanted, fingerprint=known)
            try:
                return self._judged(name, key, found, {known, *(fingerprint(payload, other) for other in others)})
            except Rejected as error:
                logger.warning("The record of an idempotency key counts as none: %s.", error)
                return operations.take_over(self.connection.capabilities, wanted, found, judge)

        return operations.reserve(self.connection.capabilities, wanted, judge)

    def _complete(self, result: Result, value: Any = None, *, ttl: float | timedelta | None = None) -> Operation[None]:
        """
        Store what came of a ``NEW`` key, for everybody who asks again, for ``ttl`` or as long as the store says.

        Raises ``ReservationLostError`` where the reservation has expired: somebody else may have done the work since.
        """
        held = _held(result)
        token = self._sealer.open(held.name, held.body).token
        record = Record(True, token, result.fingerprint, self._serializer.dumps(value))
        lifetime = _milliseconds(_checked("ttl", ttl) or self._ttl or options().ttl)
        return operations.replace(self.connection.capabilities, held, self._sealer.seal(held.name, record), lifetime)

    def _release(self, result: Result) -> Operation[bool]:
        """Give a ``NEW`` key back, so that the next one works on it; return whether it was reserved still."""
        return operations.release(self.connection.capabilities, _held(result))

    def _renew(self, result: Result) -> Operation[None]:
        """Reserve a ``NEW`` key for another ``in_progress_ttl`` from now, or raise ``ReservationLostError``."""
        held = _held(result)
        return operations.replace(self.connection.capabilities, held, held.body, held.milliseconds)

    begin, abegin = on_connection(_begin)
    complete, acomplete = on_connection(_complete)
    release, arelease = on_connection(_release)
    renew, arenew = on_connection(_renew)

    @property
    def connection(self) -> Connection:
        """The connection; ``ConnectionError`` where the site runs without Redis."""
        if not conf.aliases():
            raise ConnectionError("UPSTASH names no connection.")
        return connections[self._alias or options().alias]

    @property
    def _sealer(self) -> RecordSealer:
        return record_sealer(conf.signing_secrets(), options().encryption_keys)

    def _judged(self, name: str, key: str, found: bytes, fingerprints: set[str]) -> Result:
        record = self._sealer.open(name, found)
        if record.fingerprint not in fingerprints:
            return Result(State.CONFLICT, key)
        if not record.is_done:
            return Result(State.IN_PROGRESS, key)
        try:
            value = self._serializer.loads(record.result)
        except ValueError as error:
            raise Rejected(f"reading its result ended in {type(error).__name__}") from None
        return Result(State.DUPLICATE, key, value)


def _held(result: Result) -> Reservation:
    if result.reservation is None:
        raise ValueError(f"The key is {result.state.value}: only who began it as new can complete, renew or release.")
    return result.reservation


def _checked(name: str, given: float | timedelta | None) -> float | None:
    if given is None:
        return None
    seconds: object = given.total_seconds() if isinstance(given, timedelta) else given
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0.001 <= seconds <= 3_153_600_000:
        raise ValueError(f"{name} must be seconds or a timedelta, from 0.001 seconds to 100 years.")
    return float(seconds)


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
