"""What guards a view or a whole site: who is counted, by which policies, and what follows a refusal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, TypeAlias

from django.http.response import HttpResponseBase

from django_upstash import callbacks
from django_upstash.ratelimit.decisions import Decision
from django_upstash.ratelimit.evaluation import check_cost
from django_upstash.ratelimit.limiter_base import DEFAULT_TENANT, Identity
from django_upstash.ratelimit.policies import Failure, Policy
from django_upstash.ratelimit.web.identities import Identify, aidentified, identified, identify_by
from django_upstash.ratelimit.web.request_limit import Visit, make_limiter
from django_upstash.ratelimit.web.responses import problem_response, response_to, write_retry_after
from django_upstash.settings import conf

Refuse: TypeAlias = Callable[[Any, Decision], Any]
Proceed: TypeAlias = Callable[[], Any]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """
    How requests are limited.

    ``identity`` is ``"user"`` (else the address), ``"address"``, the dotted path of a function, or a function of the
    request, to be awaited or not, which returns the text to count by, a mapping from each scope to such a text, or None
    for who shall not be limited. ``methods`` limits only requests with these; ``cost`` is a number or a function of the
    request. With ``charge_when``, a function of the response, only those for which it is true are charged, after the
    fact; with ``charge_first``, all are charged at once, and the others get it back. ``refuse`` makes the response of a
    refusal from the request and the decision. ``tenant`` is a text or a function of the request. The others are those
    of ``RateLimiter``.
    """

    identity: str | Identify = "user"
    methods: Iterable[str] | None = None
    cost: int | Callable[[Any], int] = 1
    charge_when: Callable[[Any], bool] | None = None
    charge_first: bool = False
    refuse: Refuse = problem_response
    tenant: str | Callable[[Any], str] = DEFAULT_TENANT
    alias: str = conf.DEFAULT_ALIAS
    on_failure: Failure | None = None
    shadow: bool | None = None

    def __post_init__(self) -> None:
        if self.methods is not None:
            object.__setattr__(self, "methods", frozenset(method.upper() for method in self.methods))
        if isinstance(self.cost, int):
            check_cost(self.cost)


class Guard:
    """Lets requests pass to what ``proceed`` calls, as far as policies grant them."""

    def __init__(self, policies: Sequence[Policy], terms: Terms) -> None:
        self.policies = tuple(policies)
        self.terms = terms
        if isinstance(terms.tenant, str):
            self.limiter(terms.tenant)  # a mistake is found where it is made, not at the first request

    def limiter(self, tenant: str) -> Any:
        """Return the limiter of a tenant."""
        terms = self.terms
        return make_limiter(
            self.policies, alias=terms.alias, tenant=tenant, on_failure=terms.on_failure, shadow=terms.shadow
        )

    def concerns(self, request: Any) -> bool:
        """Tell whether a request is limited. HEAD is where GET is: a view answers both alike."""
        methods = self.terms.methods
        return methods is None or request.method in methods or (request.method == "HEAD" and "GET" in methods)

    def respond(self, request: Any, proceed: Proceed) -> Any:
        """Return the response of ``proceed``, or a refusal."""
        visit = self._visit(request)
        if visit is None:
            return proceed()
        if not visit.decide().allowed:
            return self._refused(visit, callbacks.call("refuse", self.terms.refuse, request, visit.decision))
        try:
            response = proceed()
            is_due = self._is_due(response)
        except Exception as error:
            visit.abandon(self._is_due_after(error))
            raise
        except BaseException:
            # A client that does not wait for its response shall have paid for it.
            visit.release()
            raise
        visit.finish(response, is_due)
        return response

    async def arespond(self, request: Any, proceed: Callable[[], Awaitable[Any]]) -> Any:
        """``respond``, awaited."""
        visit = await self._avisit(request)
        if visit is None:
            return await proceed()
        if not (await visit.adecide()).allowed:
            return self._refused(visit, await _arefusal(self.terms.refuse, request, visit.decision))
        try:
            response = await proceed()
            is_due = await self._ais_due(response)
        except Exception as error:
            await visit.aabandon(await self._ais_due_after(error))
            raise
        except BaseException:
            await visit.arelease()
            raise
        await visit.afinish(response, is_due)
        return response

    def _visit(self, request: Any) -> Visit | None:
        terms = self.terms
        identity = identified(identify_by(terms.identity), request)
        if identity is None:
            return None
        tenant = terms.tenant if isinstance(terms.tenant, str) else callbacks.call("tenant", terms.tenant, request)
        return self._made(request, identity, cost_of("cost", terms.cost, request), tenant)

    async def _avisit(self, request: Any) -> Visit | None:
        terms = self.terms
        identity = await aidentified(identify_by(terms.identity), request)
        if identity is None:
            return None
        tenant: Any = terms.tenant
        if not isinstance(tenant, str):
            tenant = await callbacks.acall("tenant", tenant, request)
        cost: Any = terms.cost
        if callable(cost):
            cost = _paid("cost", await callbacks.acall("cost", cost, request))
        return self._made(request, identity, cost, tenant)

    def _made(self, request: Any, identity: Identity, cost: int, tenant: Any) -> Visit:
        later = self.terms.charge_when is not None and not self.terms.charge_first
        limiter = self.limiter(callbacks.text("tenant", tenant))
        return Visit(request, limiter, identity, cost, charges_later=later)

    def _is_due(self, response: Any) -> bool:
        return is_due(self.terms.charge_when, response)

    def _is_due_after(self, error: Exception) -> bool:
        # Where `charge_when` is what fails, its error is raised anyway, and the request is paid for.
        with suppress(Exception):
            return self._is_due(response_to(error))
        return True

    async def _ais_due_after(self, error: Exception) -> bool:
        with suppress(Exception):
            return await self._ais_due(response_to(error))
        return True

    async def _ais_due(self, response: Any) -> bool:
        charge_when = self.terms.charge_when
        if charge_when is None:
            return True
        found: Any = charge_when(response)  # not in a thread: it looks at a response, and does no I/O
        return callbacks.truth("charge_when", await found if isawaitable(found) else found)

    def _refused(self, visit: Visit, response: Any) -> Any:
        if not isinstance(response, HttpResponseBase):
            raise TypeError(f"refuse returned an object of type {type(response).__name__}; it must return a response.")
        visit.tell(response)
        write_retry_after(response, visit.decision)
        return response


def is_due(charge_when: Callable[[Any], bool] | None, response: Any) -> bool:
    """Tell whether a response is to be charged; raise ``TypeError`` where ``charge_when`` does not say so."""
    if charge_when is None:
        return True
    return callbacks.truth("charge_when", callbacks.call("charge_when", charge_when, response))


def cost_of(what: str, cost: int | Callable[[Any], int], request: Any) -> int:
    """
    Return what a request costs; 1 where a function returns less than 0, because no request earns anything.

    Raises ``TypeError`` naming ``what`` for anything but a whole number.
    """
    return _paid(what, callbacks.call(what, cost, request) if callable(cost) else cost)


def _paid(what: str, found: Any) -> int:
    cost = callbacks.number(what, found)
    return 1 if cost < 0 else cost


async def _arefusal(refuse: Refuse, request: Any, decision: Decision) -> Any:
    if refuse is problem_response:
        return refuse(request, decision)
    return await callbacks.acall("refuse", refuse, request, decision)
