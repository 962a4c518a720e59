"""
A view that is executed once per key: what is asked before it, and what is stored after it.

The middleware, the decorator and the mixin differ in when they ask; all else is here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Literal, Self

from django.db import connections as databases
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string

from django_upstash import callbacks
from django_upstash.exceptions import PoolTimeoutError, ServerAwayError, UpstashError
from django_upstash.forks import Owner
from django_upstash.idempotency import bodies, codings, problems, requests
from django_upstash.idempotency.header import MalformedKey, parse_key
from django_upstash.idempotency.keys import canonical_json
from django_upstash.idempotency.options import options
from django_upstash.idempotency.responses import CUT_OFF, ResponseSerializer, StoredResponse
from django_upstash.idempotency.settings import IdempotencySettings
from django_upstash.idempotency.store import IdempotencyStore, Result, State
from django_upstash.log import get_logger
from django_upstash.rendering import when_rendered
from django_upstash.wire.refusals import reports

HEADER = "HTTP_IDEMPOTENCY_KEY"
_ENTERED = "_upstash_idempotency_entered"
_HIGHEST_STORED = {"success": 399, "client_errors": 499, "all": 599}
# They say that the request was not let through, and next time it may be.
_REFUSALS = frozenset({401, 403, 429})
# It answers to what this one client has in its cache.
_NOT_MODIFIED = 304
_SERIALIZER = ResponseSerializer()

logger = get_logger("django_upstash.idempotency")


@dataclass(frozen=True, kw_only=True)
class Protection:
    """
    How views are protected. What is None follows ``settings.UPSTASH_IDEMPOTENCY``.

    ``tenant`` is a name, or a function of the request. ``principal(request, user)`` returns as text who sends a
    request, ``fingerprint(request)`` as bytes or JSON what it asks for. Times are in seconds, or a ``timedelta``.
    """

    required: bool | None = None
    methods: Sequence[str] | None = None
    on_failure: Literal["open", "closed"] | None = None
    store: Literal["success", "client_errors", "all"] | None = None
    tenant: str | Callable[[Any], str] | None = None
    alias: str | None = None
    ttl: float | timedelta | None = None
    in_progress_ttl: float | timedelta | None = None
    principal: Callable[[Any, Any], str] | None = None
    fingerprint: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        for name, known in (("on_failure", ("open", "closed")), ("store", tuple(_HIGHEST_STORED))):
            if getattr(self, name) not in (None, *known):
                raise ValueError(f"{name} must be {' or '.join(map(repr, known))}.")
        if isinstance(self.methods, str):
            raise ValueError(f"methods must be a list of methods, such as [{self.methods!r}].")
        self.make_store(None)

    def concerns(self, request: Any) -> bool:
        """Tell whether a request has a key, or needs one, and nothing protects it yet."""
        return self._asked(request) is not None

    def enter(self, request: Any) -> ProtectedCall | HttpResponseBase | None:
        """Return the response that is due already, the attempt to make one, or None where nothing is protected."""
        asked = self._asked(request)
        if not isinstance(asked, str):
            return asked
        tenant = callbacks.call("tenant", self.tenant, request) if callable(self.tenant) else self.tenant
        attempt = ProtectedCall(self, request, asked, getattr(request, "user", None), tenant)
        try:
            attempt.result = attempt.store.begin(*attempt.arguments())
        except UpstashError as error:
            return attempt.without_server(error)
        return attempt.answer() or attempt.entered()

    async def aenter(self, request: Any) -> ProtectedCall | HttpResponseBase | None:
        """Async version of ``enter``."""
        asked = self._asked(request)
        if not isinstance(asked, str):
            return asked
        bodies.keep(requests.django_request(request))
        user = await request.auser() if hasattr(request, "auser") else getattr(request, "user", None)
        tenant = await callbacks.acall("tenant", self.tenant, request) if callable(self.tenant) else self.tenant
        attempt = ProtectedCall(self, request, asked, user, tenant)
        try:
            attempt.result = await attempt.store.abegin(*await attempt.aarguments())
        except UpstashError as error:
            return attempt.without_server(error)
        return attempt.answer() or attempt.entered()

    def _asked(self, request: Any) -> str | HttpResponseBase | None:
        if hasattr(requests.django_request(request), _ENTERED):
            return None  # as where the middleware and a decorator protect one view
        settings = options()
        methods = settings.methods if self.methods is None else [method.upper() for method in self.methods]
        if request.method not in methods:
            return None
        field = request.META.get(HEADER)
        if field is None:
            required = settings.required if self.required is None else self.required
            return problems.missing() if required else None
        try:
            return parse_key(field, accepts_bare=settings.bare_keys)
        except MalformedKey as error:
            return problems.malformed(str(error))

    def make_store(self, tenant: str | None) -> IdempotencyStore:
        """Return the store of a tenant's responses; raise ``ValueError`` for invalid times."""
        return IdempotencyStore(
            tenant=tenant,
            alias=self.alias,
            ttl=self.ttl,
            in_progress_ttl=self.in_progress_ttl,
            serializer=_SERIALIZER,
        )


class ProtectedCall:
    """One request that is to be executed, and whose response is to be stored."""

    def __init__(self, protection: Protection, request: Any, key: str, user: Any, tenant: Any) -> None:
        self.protection = protection
        self.request = request
        self.key = key
        self.user = user
        self.settings: IdempotencySettings = options()
        self.store = protection.make_store(None if tenant is None else callbacks.key_text("tenant", tenant))
        self.result: Result | None = None
        self._owner = Owner()

    def arguments(self) -> tuple[str, Any]:
        """Return what the store is asked with; raise ``ServerAwayError`` where it is known not to answer."""
        identify, describe = self._functions()
        who = callbacks.call("principal", identify, self.request, self.user)
        return self._checked(who, callbacks.call("fingerprint", describe, self.request))

    async def aarguments(self) -> tuple[str, Any]:
        """``arguments``, awaited; functions of the site that are not async run in a thread."""
        identify, describe = self._functions()
        if identify is requests.principal:
            who: Any = identify(self.request, self.user)
        else:
            who = await callbacks.acall("principal", identify, self.request, self.user)
        if describe is requests.payload:
            return self._checked(who, describe(self.request))
        return self._checked(who, await callbacks.acall("fingerprint", describe, self.request))

    def _functions(self) -> tuple[Callable[[Any, Any], Any], Callable[[Any], Any]]:
        principal = self.protection.principal or _principal_function(self.settings)
        return principal, self.protection.fingerprint or requests.payload

    def _checked(self, who: object, payload: Any) -> tuple[str, Any]:
        if not isinstance(who, str) or not who:
            raise TypeError(f"principal must return a text that is not empty, not {type(who).__name__}.")
        _check_payload(payload)
        if not self.store.connection.availability.may_ask():
            raise ServerAwayError()
        return requests.scope(self.request, who, self.key), payload

    def left(self) -> None:
        """Undo ``entered``, for another protection of the view to ask."""
        vars(requests.django_request(self.request)).pop(_ENTERED, None)

    def entered(self) -> Self:
        """Mark the request, so that no other protection of the view asks again."""
        setattr(requests.django_request(self.request), _ENTERED, True)
        return self

    def answer(self) -> HttpResponseBase | None:
        """Return the response to a request that is not to be executed."""
        result = self.result
        if result is None or result.state is State.NEW:
            return None
        if result.state is State.CONFLICT:
            return problems.conflict()
        if result.state is State.IN_PROGRESS:
            return problems.in_progress(self.settings.retry_after)
        return self._replay(result.value)

    def _replay(self, stored: StoredResponse) -> HttpResponseBase:
        if stored.status == CUT_OFF.status:
            return problems.outcome_unknown(self.settings.retry_after)
        if stored.body is None:
            return problems.not_kept()
        accepted = self.request.META.get("HTTP_ACCEPT_ENCODING")
        if stored.coding is not None and not codings.accepts(accepted, stored.coding):
            return problems.not_acceptable(stored.coding)
        return stored.replayed()

    def without_server(self, error: UpstashError) -> ProtectedCall | HttpResponseBase:
        """Return what happens while Redis is away, by ``on_failure``: the request unprotected, or a refusal."""
        way = self.protection.on_failure or self.settings.on_failure
        if isinstance(error, PoolTimeoutError):  # this process's own load shall open nothing
            way = "closed"
        else:
            reports.report(logger, self.settings.alias, f"Idempotency keys fail {way} without the server", error)
        logger.warning("An idempotency key could not be looked up, and fails %s: %s", way, error)
        return self.entered() if way == "open" else problems.unavailable(self.settings.retry_after)

    def conclude(self, response: HttpResponseBase) -> None:
        """Store the response once it is rendered and the transaction committed, or give the key back."""
        if not self._is_stored(response):
            self.abandon()
        elif getattr(response, "is_rendered", True):
            self._store(response)
        else:
            when_rendered(response, self._store, self.abandon)

    async def aconclude(self, response: HttpResponseBase) -> None:
        """Async version of ``conclude``. No transaction is open in asynchronous code."""
        if not self._is_stored(response):
            await self.aabandon()
        elif getattr(response, "is_rendered", True):
            await self._acomplete(self._kept(response))
        else:
            when_rendered(response, self._store, self.abandon)

    async def acut_off(self) -> None:
        """Say to all who ask again that the outcome is unknown, for as long as the key would have been in progress."""
        if self.result is not None and self.result.reservation is not None:
            seconds = self.result.reservation.milliseconds / 1000
            try:
                await self.store.acomplete(self.result, CUT_OFF, ttl=seconds)
            except UpstashError as error:
                self._cannot("marked", error)

    def abandon(self) -> None:
        """Give the key back, so that the request may be tried again."""
        if self.result is not None and self._owner.is_here:
            try:
                self.store.release(self.result)
            except UpstashError as error:
                self._cannot("given back", error)

    async def aabandon(self) -> None:
        """Async version of ``abandon``."""
        if self.result is not None and self._owner.is_here:
            try:
                await self.store.arelease(self.result)
            except UpstashError as error:
                self._cannot("given back", error)

    def _is_stored(self, response: HttpResponseBase) -> bool:
        highest = _HIGHEST_STORED[self.protection.store or self.settings.store]
        return response.status_code <= highest and response.status_code not in {*_REFUSALS, _NOT_MODIFIED}

    def _store(self, response: HttpResponseBase) -> None:
        kept = self._kept(response)
        after_commit(lambda: self._complete(kept))

    def _kept(self, response: HttpResponseBase) -> StoredResponse:
        kept = StoredResponse.of(response, self.settings.max_response_size)
        if kept.body is None:
            logger.warning("A response of %s is streamed, or too large to be kept.", self.request.path)
        return kept

    def _complete(self, kept: StoredResponse) -> None:
        if self.result is not None and self._owner.is_here:
            try:
                self.store.complete(self.result, kept)
            except UpstashError as error:
                self._cannot("completed", error)

    async def _acomplete(self, kept: StoredResponse) -> None:
        if self.result is not None and self._owner.is_here:
            try:
                await self.store.acomplete(self.result, kept)
            except UpstashError as error:
                self._cannot("completed", error)

    def _cannot(self, done: str, error: UpstashError) -> None:
        # What the request has done is done; its reservation ends by itself.
        logger.warning("The idempotency key of a request to %s could not be %s: %s", self.request.path, done, error)


def after_commit(function: Callable[[], None]) -> None:
    """Call a function once all open transactions are committed; at once where none is open, or all will be undone."""
    for database in databases.all(initialized_only=True):
        if database.in_atomic_block and not database.needs_rollback:
            function = partial(database.on_commit, function)
    function()


def _principal_function(settings: IdempotencySettings) -> Callable[[Any, Any], str]:
    if settings.principal is None:
        return requests.principal
    found: Callable[[Any, Any], str] = import_string(settings.principal)
    return found


def _check_payload(payload: Any) -> None:
    try:
        if not isinstance(payload, bytes):
            canonical_json(payload)
    except (TypeError, ValueError) as error:
        raise TypeError(f"fingerprint must return bytes or what JSON can express: {error}.") from error
