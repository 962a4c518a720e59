"""
A view that is executed once per key: what is asked before it, and what is stored after it.

The middleware, the decorator and the mixin differ in when they ask; all else is here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Literal, Self

from django.db import connections as databases
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string

from django_upstash.conf import IdempotencySettings
from django_upstash.exceptions import ServerAwayError, UpstashError
from django_upstash.idempotency import problems, requests
from django_upstash.idempotency.header import MalformedKey, parse_key
from django_upstash.idempotency.options import options
from django_upstash.idempotency.responses import ResponseSerializer, StoredResponse
from django_upstash.idempotency.store import IdempotencyStore, Result, State

HEADER = "HTTP_IDEMPOTENCY_KEY"
_ENTERED = "_upstash_idempotency_entered"
_HIGHEST_STORED = {"success": 399, "client_errors": 499, "all": 599}
# They say that the request was not let through, and next time it may be.
_REFUSALS = frozenset({401, 403, 429})
_SERIALIZER = ResponseSerializer()

logger = logging.getLogger("django_upstash.idempotency")


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

    def enter(self, request: Any) -> Attempt | HttpResponseBase | None:
        """Return the response that is due already, the attempt to make one, or None where nothing is protected."""
        asked = self._asked(request)
        if not isinstance(asked, str):
            return asked
        attempt = Attempt(self, request, asked, getattr(request, "user", None))
        try:
            attempt.result = attempt.store.begin(*attempt.arguments())
        except UpstashError as error:
            return attempt.without_server(error)
        return attempt.answer() or attempt.entered()

    async def aenter(self, request: Any) -> Attempt | HttpResponseBase | None:
        """Do as ``enter`` does, awaited."""
        asked = self._asked(request)
        if not isinstance(asked, str):
            return asked
        user = await request.auser() if hasattr(request, "auser") else getattr(request, "user", None)
        attempt = Attempt(self, request, asked, user)
        try:
            attempt.result = await attempt.store.abegin(*attempt.arguments())
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
        """Return the store of a tenant's responses; raise ``ValueError`` for times that are none."""
        return IdempotencyStore(
            tenant=tenant,
            alias=self.alias,
            ttl=self.ttl,
            in_progress_ttl=self.in_progress_ttl,
            serializer=_SERIALIZER,
        )


class Attempt:
    """One request that is to be executed, and whose response is to be stored."""

    def __init__(self, protection: Protection, request: Any, key: str, user: Any) -> None:
        self.protection = protection
        self.request = request
        self.key = key
        self.user = user
        self.settings: IdempotencySettings = options()
        tenant = protection.tenant
        self.store = protection.make_store(tenant(request) if callable(tenant) else tenant)
        self.result: Result | None = None

    def arguments(self) -> tuple[str, Any]:
        """Return what the store is asked with; raise ``ServerAwayError`` where it is known not to answer."""
        identify = self.protection.principal or _principal_function(self.settings)
        who: object = identify(self.request, self.user)
        if not isinstance(who, str) or not who:
            raise TypeError(f"The principal of a request must be a text that is not empty, not {type(who).__name__}.")
        describe = self.protection.fingerprint or requests.payload
        found = requests.scope(self.request, who, self.key), describe(self.request)
        if not self.store.connection.availability.may_ask():
            raise ServerAwayError("The server did not answer a moment ago.")
        return found

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
        stored: StoredResponse = result.value
        return problems.not_kept() if stored.body is None else stored.replayed()

    def without_server(self, error: UpstashError) -> Attempt | HttpResponseBase:
        """Return what happens while Redis is away, by ``on_failure``: the request unprotected, or a refusal."""
        way = self.protection.on_failure or self.settings.on_failure
        logger.warning("An idempotency key could not be looked up, and fails %s: %s", way, error)
        return self.entered() if way == "open" else problems.unavailable(self.settings.retry_after)

    def conclude(self, response: HttpResponseBase) -> None:
        """Store the response once it is rendered and the transaction committed, or give the key back."""
        if not self._is_stored(response):
            self.abandon()
        elif getattr(response, "is_rendered", True):
            self._store(response)
        else:
            response.add_post_render_callback(self._store)  # type: ignore[attr-defined]

    async def aconclude(self, response: HttpResponseBase) -> None:
        """Do as ``conclude`` does, awaited. No transaction is open in asynchronous code."""
        if not self._is_stored(response):
            await self.aabandon()
        elif getattr(response, "is_rendered", True):
            await self._acomplete(self._kept(response))
        else:
            response.add_post_render_callback(self._store)  # type: ignore[attr-defined]

    def abandon(self) -> None:
        """Give the key back, so that the request may be tried again."""
        if self.result is not None:
            try:
                self.store.release(self.result)
            except UpstashError as error:
                self._cannot("given back", error)

    async def aabandon(self) -> None:
        """Do as ``abandon`` does, awaited."""
        if self.result is not None:
            try:
                await self.store.arelease(self.result)
            except UpstashError as error:
                self._cannot("given back", error)

    def _is_stored(self, response: HttpResponseBase) -> bool:
        highest = _HIGHEST_STORED[self.protection.store or self.settings.store]
        return response.status_code <= highest and response.status_code not in _REFUSALS

    def _store(self, response: HttpResponseBase) -> None:
        kept = self._kept(response)
        after_commit(lambda: self._complete(kept))

    def _kept(self, response: HttpResponseBase) -> StoredResponse:
        kept = StoredResponse.of(response, self.settings.max_response_size)
        if kept.body is None:
            logger.warning("A response of %s is streamed, or too large to be kept.", self.request.path)
        return kept

    def _complete(self, kept: StoredResponse) -> None:
        if self.result is not None:
            try:
                self.store.complete(self.result, kept)
            except UpstashError as error:
                self._cannot("completed", error)

    async def _acomplete(self, kept: StoredResponse) -> None:
        if self.result is not None:
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
