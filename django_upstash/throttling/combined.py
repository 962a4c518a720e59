"""
All throttles of a view decided together, all or nothing.

Django REST framework asks one throttle after the other. The first of ours that is asked collects the claims of the
others on the view, and has all of them decided in one round trip; the others find their answers.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, TypeAlias

from rest_framework.views import APIView

from django_upstash.ratelimit import Decision, Policy
from django_upstash.ratelimit.web.request_limit import Visit, make_limiter
from django_upstash.ratelimit.web.view_limit import cost_of
from django_upstash.throttling.responses import follow, refuse_congested

ChargeWhen: TypeAlias = Callable[[Any], bool] | None
_ANSWERS = "_upstash_answers"


class ThrottleClaim(NamedTuple):
    """What one throttle has to say about one request."""

    policies: tuple[Policy, ...]
    identity: str
    alias: str
    charge_when: ChargeWhen = None
    charge_first: bool = False

    @property
    def charges_later(self) -> bool:
        return self.charge_when is not None and not self.charge_first


class ThrottleAnswer(NamedTuple):
    """Whether a claim lets its request pass, and otherwise the seconds to wait, or None where that does not help."""

    granted: bool
    retry_after: float | None


class Claiming(Protocol):
    """A throttle of ours; ``claims`` returns what it would ask for, without asking."""

    def claims(self, request: Any, view: Any) -> list[ThrottleClaim]: ...


def answer(throttle: Claiming, claim: ThrottleClaim, request: Any, view: Any) -> ThrottleAnswer:
    """Return the answer to a throttle's claim, from the decision about all of the view's."""
    # With the view, so that no other one gets its id while the request lives.
    _, answers = vars(request).setdefault(_ANSWERS, {}).setdefault(id(view), (view, {}))
    if not answers.get(claim):
        # Another claim than the throttle was expected to make is decided alone, for the others have been.
        claims = _claims(throttle, claim, request, view) if not answers or claim in answers else [claim]
        answers.update(_decided(claims, request, view))
    found: ThrottleAnswer = answers[claim].pop()
    return found


def _claims(asking: Claiming, claim: ThrottleClaim, request: Any, view: Any) -> list[ThrottleClaim]:
    """Return the claim of the throttle that asks, and those of all others of ours on its view."""
    others = [one for one in (view.get_throttles() if hasattr(view, "get_throttles") else ()) if hasattr(one, "claims")]
    # The view makes its throttles at each call, so the one that asks is among them as another of its class.
    itself = next((other for other in others if type(other) is type(asking)), None)
    if itself is None:
        return [claim]
    return [claim, *(one for other in others if other is not itself for one in other.claims(request, view))]


def _decided(claims: Sequence[ThrottleClaim], request: Any, view: Any) -> dict[ThrottleClaim, list[ThrottleAnswer]]:
    """Return the answers to all claims; where one is refused, none is charged."""
    cost = cost_of("throttle_cost", getattr(view, "throttle_cost", 1), request) if isinstance(view, APIView) else 1
    answers = {claim: [ThrottleAnswer(True, None)] * claims.count(claim) for claim in claims}
    visits: list[tuple[Visit, ChargeWhen]] = []
    for group in _groups(claims):
        first = group[0]
        merged, scopes = _merged(group)
        limiter = make_limiter(tuple(policy for policy, _ in merged.values()), alias=first.alias)
        identities = {scope: identity for scope, (_, identity) in merged.items()}
        visit = Visit(request, limiter, identities, cost, charges_later=first.charges_later)
        if not visit.decide().allowed:
            answers.update((claim, [_answer(visit.decision, scopes[claim])] * len(answers[claim])) for claim in group)
            for earlier, _ in visits:
                earlier.take_back()
            visits = [(visit, None)]
            break
        visits.append((visit, first.charge_when))
    follow(view, visits)
    refuse_congested(visit.decision for visit, _ in visits)
    return answers


def _groups(claims: Iterable[ThrottleClaim]) -> list[list[ThrottleClaim]]:
    """Return what can be decided in one round trip; what is only looked at comes first, for that charges nothing."""
    groups: dict[tuple[object, ...], list[ThrottleClaim]] = {}
    for claim in dict.fromkeys(claims):
        number = 0
        while _collides(claim, groups.setdefault((claim.alias, claim.charge_when, claim.charge_first, number), [])):
            number += 1
        groups[claim.alias, claim.charge_when, claim.charge_first, number].append(claim)
    return sorted(groups.values(), key=lambda group: not group[0].charges_later)


def _collides(claim: ThrottleClaim, others: Iterable[ThrottleClaim]) -> bool:
    """Tell whether others count another identity in a scope of the claim: a limiter knows one for each scope."""
    scopes = {policy.scope for policy in claim.policies}
    return any(
        other.identity != claim.identity and any(policy.scope in scopes for policy in other.policies)
        for other in others
    )


def _merged(claims: Iterable[ThrottleClaim]) -> tuple[dict[str, tuple[Policy, str]], dict[ThrottleClaim, set[str]]]:
    """
    Return the policies with their identities, by scope, and the scopes of each claim.

    Who claims the same counter twice is counted once, by the lower limit. Another counter of the same scope, by another
    period, gets a scope of its own.
    """
    merged: dict[str, tuple[Policy, str]] = {}
    scopes: dict[ThrottleClaim, set[str]] = {}
    for claim in claims:
        for policy in claim.policies:
            scope, number = policy.scope, 1
            while scope in merged and not _is_same(merged[scope][0], policy):
                number += 1
                scope = f"{policy.scope}:{number}"
            named = policy if number == 1 else replace(policy, scope=scope)
            if scope not in merged or policy.limit < merged[scope][0].limit:
                merged[scope] = named, claim.identity
            scopes.setdefault(claim, set()).add(scope)
    return merged, scopes


def _is_same(known: Policy, policy: Policy) -> bool:
    return (known.algorithm, known.window) == (policy.algorithm, policy.window)


def _answer(decision: Decision, scopes: Container[str]) -> ThrottleAnswer:
    """Return what a refusal says to the claim of these scopes."""
    refused = [outcome for outcome in decision.outcomes if not outcome.allowed]
    waits = [outcome.retry_after for outcome in refused if outcome.scope in scopes]
    if refused and not waits:
        return ThrottleAnswer(True, None)
    return ThrottleAnswer(False, None if None in waits else max(filter(None, waits), default=None))
