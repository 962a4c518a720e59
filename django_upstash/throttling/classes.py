"""The throttles: what each counts, and by whom. ``combined`` decides several together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from rest_framework import throttling
from rest_framework.settings import api_settings

from django_upstash import callbacks
from django_upstash.ratelimit import FixedWindow, Policy, SlidingWindow, TokenBucket, parse_rate
from django_upstash.ratelimit.policies import FAILURES, Failure
from django_upstash.ratelimit.rates import shown
from django_upstash.ratelimit.web.client_addresses import client_address
from django_upstash.ratelimit.web.identities import of_user
from django_upstash.ratelimit.web.request_limit import counter, named_policies
from django_upstash.throttling.combined import ThrottleClaim, answer

_WITHOUT_MEANING = {
    "timer": "the server's clock decides",
    "cache": "counters are kept on the connection that `alias` names",
    "history": "no history of requests is kept",
    "cache_format": "keys are made of the scope and of what get_cache_key() returns",
}


class _Rates:
    """Django REST framework's ``DEFAULT_THROTTLE_RATES`` as they are now, not as they were when a class was made."""

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return api_settings.DEFAULT_THROTTLE_RATES


class RateThrottle(throttling.SimpleRateThrottle):  # type: ignore[misc]
    """
    What ``SimpleRateThrottle`` is to Django REST framework; ``get_cache_key`` is left to subclasses.

    ``get_cache_key`` returns the text to count by, or None for who shall not be throttled. ``rate``, ``scope`` and
    ``THROTTLE_RATES`` are Django REST framework's; rates such as ``"10/5m"`` are read too.

    ``policy_class`` is how a rate is counted: ``SlidingWindow``, ``TokenBucket`` or ``FixedWindow``. ``alias`` names
    the connection. ``on_failure`` says what happens while the server is away: ``"open"``, ``"closed"`` or ``"local"``.
    With ``charge_when``, a function of the response, only those for which it is true are charged, after the fact; with
    ``charge_first``, all are charged at once, and the others get it back.
    """

    THROTTLE_RATES: ClassVar[Any] = _Rates()
    # For what others have written: get_cache_key() commonly ends in `return self.cache_format % {…}`.
    cache_format = "%(ident)s"
    policy_class: ClassVar[type[SlidingWindow | TokenBucket | FixedWindow]] = SlidingWindow
    alias: ClassVar[str] = "default"
    on_failure: ClassVar[Failure | None] = None
    charge_when: ClassVar[Callable[[Any], bool] | None] = None
    charge_first: ClassVar[bool] = False
    scope: str | None
    rate: str | None
    num_requests: int | None
    duration: int | None
    retry_after: float | None = None
    _noted: list[ThrottleClaim] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        written = {name for base in cls.__mro__ if not issubclass(RateThrottle, base) for name in vars(base)}
        for name, reason in _WITHOUT_MEANING.items():
            if name in written:
                raise ImproperlyConfigured(f"{cls.__name__}.{name} would have no effect: {reason}. Leave it out.")
        if cls.on_failure not in (None, *FAILURES):
            text = f'{cls.__name__}.on_failure is {shown(cls.on_failure)}: it must be "open", "closed" or "local".'
            raise ImproperlyConfigured(text)
        if charge_when := vars(cls).get("charge_when"):
            cls.charge_when = staticmethod(charge_when)
        if isinstance(vars(cls).get("rate"), str) and cls.parse_rate is RateThrottle.parse_rate:
            _parsed(cls.__name__, vars(cls)["rate"])

    def parse_rate(self, rate: str | None) -> tuple[int | None, int | None]:
        """Return the number of requests and the period in seconds; ``ImproperlyConfigured`` for what is no rate."""
        return (None, None) if rate is None else _parsed(type(self).__name__, rate)

    def get_ident(self, request: Any) -> str:
        """
        Return the client's address: by ``TRUSTED_PROXIES``, or else ``NUM_PROXIES``, or else ``REMOTE_ADDR`` alone.

        Unlike Django REST framework's, it never takes a header's word where neither is set.
        """
        return client_address(request, api_settings.NUM_PROXIES)

    def get_policies(self, request: Any, view: Any) -> Sequence[Policy]:
        """Return what is decided by, each with a scope of its own; none is no limit."""
        if self.num_requests is None or self.duration is None:
            return ()
        scope = self._counter(self.duration)
        try:
            return (_policy(self.policy_class, self.num_requests, self.duration, scope, self.on_failure),)
        except (TypeError, ValueError) as error:
            raise ImproperlyConfigured(f"{type(self).__name__}: {error}") from error

    def allow_request(self, request: Any, view: Any) -> bool:
        """Tell whether the request may pass; the first that is asked decides for all of the view's."""
        claim = self.claim(request, view)
        if claim is None:
            return True
        if self._noted is not None:
            self._noted.append(claim)
            return True
        granted, self.retry_after = answer(self, claim, request, view)
        return bool(self.throttle_success() if granted else self.throttle_failure())

    def claims(self, request: Any, view: Any) -> list[ThrottleClaim]:
        """
        Return what this throttle is going to ask for, without asking.

        A project's own ``allow_request`` may decide that, so it runs, and this throttle notes what it comes to.
        """
        if type(self).allow_request is RateThrottle.allow_request:
            claim = self.claim(request, view)
            return [] if claim is None else [claim]
        self._noted = []
        self.allow_request(request, view)
        return self._noted

    def claim(self, request: Any, view: Any) -> ThrottleClaim | None:
        """Return what this throttle has to say about a request, or None where that is nothing."""
        name = type(self).__name__
        policies = self._policies(callbacks.call(f"{name}.get_policies()", self.get_policies, request, view))
        what = f"{name}.get_cache_key()"
        identity = callbacks.call(what, self.get_cache_key, request, view) if policies else None
        if identity is None:
            return None
        return ThrottleClaim(
            policies, callbacks.text(what, identity), self.alias, type(self).charge_when, self.charge_first
        )

    def _policies(self, found: Any) -> tuple[Policy, ...]:
        if not isinstance(found, Sequence) or not all(isinstance(policy, Policy) for policy in found):
            what = f"{type(self).__name__}.get_policies() returned an object of type {type(found).__name__}"
            raise TypeError(f"{what}; it must return a list of policies.")
        return tuple(found)

    def throttle_success(self) -> bool:
        return True

    def throttle_failure(self) -> bool:
        return False

    def wait(self) -> float | None:
        """Return the seconds until the request would be granted, or None where waiting does not help."""
        return self.retry_after

    def _counter(self, duration: int) -> str:
        """Return the scope's own name where it is counted as the settings have it, and else one that says how."""
        scope = str(self.scope or _path(type(self)))
        usual = self.THROTTLE_RATES.get(scope)
        if usual is not None and self.parse_rate(usual)[1] == duration and self.policy_class is SlidingWindow:
            return scope
        return counter(scope, duration, self.policy_class.algorithm)


class AnonRateThrottle(RateThrottle):
    """Limits clients that have not logged in, each address by itself."""

    scope: str | None = "anon"

    def get_cache_key(self, request: Any, view: Any) -> str | None:
        return None if of_user(request.user) else self.get_ident(request)


class UserRateThrottle(RateThrottle):
    """Limits each user, and each address of clients that have not logged in."""

    scope: str | None = "user"

    def get_cache_key(self, request: Any, view: Any) -> str | None:
        return of_user(request.user) or self.get_ident(request)


class ScopedRateThrottle(UserRateThrottle):
    """Limits each user in a part of the API: in all views whose ``throttle_scope`` names the same scope."""

    scope_attr = "throttle_scope"

    def __init__(self) -> None:
        """Leave the rate for later: it is the view's."""

    def claim(self, request: Any, view: Any) -> ThrottleClaim | None:
        self.scope = getattr(view, self.scope_attr, None)
        if not self.scope:
            return None
        self.rate = self.get_rate()
        self.num_requests, self.duration = self.parse_rate(self.rate)
        return super().claim(request, view)


class TenantRateThrottle(RateThrottle):
    """
    Limits each tenant, all of its users together.

    A subclass says whose a request is: ``get_tenant`` returns the tenant's name, or None for none, who is not limited.
    """

    scope: str | None = "tenant"

    def get_tenant(self, request: Any, view: Any) -> str | None:
        raise NotImplementedError("get_tenant() must be overridden")

    def get_cache_key(self, request: Any, view: Any) -> str | None:
        what = f"{type(self).__name__}.get_tenant()"
        tenant = callbacks.call(what, self.get_tenant, request, view)
        return None if tenant is None else f"tenant:{callbacks.text(what, tenant)}"


class PolicyThrottle(UserRateThrottle):
    """
    Limits each user, and each address, by several policies, or by others than rates.

        class Exports(PolicyThrottle):
            scope = "exports"
            policies = ["10/min", "100/day", Concurrency(2, scope="exports at once")]

    Policies that name no scope count under the throttle's ``scope`` with their period. A place under ``Concurrency`` is
    given back when the response is finished.
    """

    scope: str | None = None
    policies: ClassVar[Sequence[str | Policy]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "policies" in vars(cls):
            try:
                policies = named_policies(cls.policies, cls.scope or _path(cls), shared=True)
                cls.policies = tuple([replace(one, on_failure=one.on_failure or cls.on_failure) for one in policies])
            except ValueError as error:
                raise ImproperlyConfigured(f"{cls.__name__}.policies: {error}") from error

    def __init__(self) -> None:
        """Need no rate."""
        if not self.policies:
            raise ImproperlyConfigured(
                f'{type(self).__name__} needs policies, such as policies = ["10/min", "100/day"].'
            )

    def get_policies(self, request: Any, view: Any) -> Sequence[Policy]:
        return self.policies  # type: ignore[return-value]


def _parsed(name: str, rate: object) -> tuple[int, int]:
    try:
        return tuple(parse_rate(rate))  # type: ignore[arg-type, return-value]
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}") from error


@lru_cache(maxsize=1024)
def _policy(kind: Any, limit: int, seconds: int, scope: str, on_failure: Failure | None) -> Policy:
    if isinstance(seconds, float):
        raise ValueError(f"The period of {shown(seconds)} s must be whole.")
    policy: Policy = kind(f"{limit}/{seconds}s", scope=scope, on_failure=on_failure)
    return policy


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
