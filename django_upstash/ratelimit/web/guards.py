"""What stands before a view or before a whole site: who is counted, by which policies, and what follows a refusal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async

from django_upstash import conf
from django_upstash.ratelimit.decisions import Decision
from django_upstash.ratelimit.inquiry import check_cost
from django_upstash.ratelimit.limiter import DEFAULT_TENANT, Identity
from django_upstash.ratelimit.policies import Failure, Policy
from django_upstash.ratelimit.web.identities import Identify, aidentified, identified, identify_by
from django_upstash.ratelimit.web.responses import problem_response, response_to, write_retry_after
from django_upstash.ratelimit.web.visits import Visit, make_limiter

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
            self.limiter(None)  # a mistake is found where it stands, not at the first request

    def limiter(self, request: Any) -> Any:
        """Return the limiter for a request's tenant."""
        terms = self.terms
        tenant = terms.tenant if isinstance(terms.tenant, str) else terms.tenant(request)
        return make_limiter(
            self.policies, alias=terms.alias, tenant=tenant, on_failure=terms.on_failure, shadow=terms.shadow
        )

    def concerns(self, request: Any) -> bool:
        return self.terms.methods is None or request.method in self.terms.methods

    def respond(self, request: Any, proceed: Proceed) -> Any:
        """Return the response of ``proceed``, or a refusal."""
        visit = self._visit(request, identified(identify_by(self.terms.identity), request))
        if visit is None:
            return proceed()
        if not visit.decide().allowed:
            return self._refused(visit, _called(self.terms.refuse, request, visit.decision))
        try:
            response = proceed()
            is_due = self._is_due(response)
        except Exception as error:
            visit.abandon(self._is_due(response_to(error)))
            raise
        except BaseException:
            # A client that does not wait for its response shall have paid for it.
            visit.release()
            raise
        visit.finish(response, is_due)
        return response

    async def arespond(self, request: Any, proceed: Callable[[], Awaitable[Any]]) -> Any:
        """Do as ``respond`` does, awaited."""
        visit = self._visit(request, await aidentified(identify_by(self.terms.identity), request))
        if visit is None:
            return await proceed()
        if not (await visit.adecide()).allowed:
            return self._refused(visit, await _acalled(self.terms.refuse, request, visit.decision))
        try:
            response = await proceed()
            is_due = self._is_due(response)
        except Exception as error:
            await visit.aabandon(self._is_due(response_to(error)))
            raise
        except BaseException:
            await visit.arelease()
            raise
        await visit.afinish(response, is_due)
        return response

    def _visit(self, request: Any, identity: Identity | None) -> Visit | None:
        if identity is None:
            return None
        cost = cost_of(self.terms.cost, request)
        later = self.terms.charge_when is not None and not self.terms.charge_first
        return Visit(request, self.limiter(request), identity, cost, charges_later=later)

    def _is_due(self, response: Any) -> bool:
        return self.terms.charge_when is None or bool(self.terms.charge_when(response))

    def _refused(self, visit: Visit, response: Any) -> Any:
        visit.tell(response)
        write_retry_after(response, visit.decision)
        return response


def cost_of(cost: int | Callable[[Any], int], request: Any) -> int:
    """Return what a request costs; 1 where a function says less than nothing, which nobody shall be paid."""
    found = cost(request) if callable(cost) else cost
    return 1 if found < 0 else found


def _called(refuse: Refuse, request: Any, decision: Decision) -> Any:
    return (async_to_sync(refuse) if iscoroutinefunction(refuse) else refuse)(request, decision)


async def _acalled(refuse: Refuse, request: Any, decision: Decision) -> Any:
    if refuse is problem_response:
        return refuse(request, decision)
    return await (refuse if iscoroutinefunction(refuse) else sync_to_async(refuse))(request, decision)
