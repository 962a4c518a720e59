"""Limits of one view."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial, wraps
from typing import Any, TypeVar, cast

from django_upstash import callbacks
from django_upstash.ratelimit.policies import Policy
from django_upstash.ratelimit.web.request_limit import named_policies
from django_upstash.ratelimit.web.view_limit import Guard, Terms

# Where a view says by what it is limited, for the system check of scopes.
GUARDS = "ratelimit_guards"
View = TypeVar("View", bound=Callable[..., Any])


def ratelimit(*policies: str | Policy, scope: str | None = None, **terms: Any) -> Callable[[View], View]:
    """
    Limit a view: a function or a method, to be awaited or not, or a class of views.

        @ratelimit("60/min")
        @ratelimit("5/min", identity="address", methods=["POST"], charge_when=is_failure)
        @ratelimit(TokenBucket("10/s", burst=50, scope="burst"), "1000/day", scope="sustained", identity=api_key)

    Policies are rates, which make sliding windows, and policy objects. Those that name no scope count under ``scope``,
    which is the view's own name by default. ``terms`` are those of ``Terms``. All policies of one decorator are decided
    together, in one round trip. Raises ``ValueError`` and ``TypeError`` for what a limiter could not follow.
    """
    given = Terms(**terms)
    if not policies:
        raise ValueError('ratelimit() needs a policy: write @ratelimit("60/min").')
    guard = _guards(policies, scope, given)

    def decorate(view: View) -> View:
        if isinstance(view, type):
            return cast(View, _class_of_views(view, guard))
        return cast(View, _guarded(view, guard(_name(view))))

    guard(scope or "default")  # a mistake is found where it is made
    return decorate


def _guards(policies: tuple[str | Policy, ...], scope: str | None, terms: Terms) -> Callable[[str], Guard]:
    """Return the function that makes the guard of a view from its name."""

    @lru_cache(maxsize=256)
    def guard(name: str) -> Guard:
        return Guard(named_policies(policies, scope or name), terms)

    return guard


def _guarded(view: Callable[..., Any], guard: Guard) -> Callable[..., Any]:
    guards = (*getattr(view, GUARDS, ()), guard)
    if _is_async(view):

        @wraps(view)
        async def aguarded(*args: Any, **kwargs: Any) -> Any:
            request = _request(args)
            if guard.concerns(request):
                return await guard.arespond(request, lambda: view(*args, **kwargs))
            return await view(*args, **kwargs)

        setattr(aguarded, GUARDS, guards)
        return aguarded

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        request = _request(args)
        if guard.concerns(request):
            return guard.respond(request, lambda: view(*args, **kwargs))
        return view(*args, **kwargs)

    setattr(guarded, GUARDS, guards)
    return guarded


def _class_of_views(cls: Any, guard: Callable[[str], Guard]) -> Any:
    """Return the class, whose ``as_view`` limits: there it is known whether its methods are to be awaited."""
    as_view = cls.as_view.__func__

    @wraps(as_view)
    def limited(cls: Any, *args: Any, **initkwargs: Any) -> Any:
        return _guarded(as_view(cls, *args, **initkwargs), guard(f"{cls.__module__}.{cls.__qualname__}"))

    cls.as_view = classmethod(limited)
    return cls


def _bound_to(view: Any) -> Any:
    """Return the object that a method is bound to, behind the partial that ``method_decorator`` makes of it."""
    return getattr(getattr(view, "func", view), "__self__", None)


def _is_async(view: Any) -> bool:
    return callbacks.is_async(view) or bool(getattr(_bound_to(view), "view_is_async", False))


def _name(view: Any) -> str:
    instance = _bound_to(view)
    if instance is None:
        return f"{_module(view)}.{callbacks.name_of(view)}"
    # What `dispatch` is called in the class that defines it is the same for all views.
    return f"{type(instance).__module__}.{type(instance).__qualname__}.{view.__name__}"


def _module(view: Any) -> str:
    """Return where a view is from: a partial and an object of a view have no module that says so."""
    while isinstance(view, partial):
        view = view.func
    return str(getattr(view, "__module__", None) or type(view).__module__)


def _request(args: tuple[Any, ...]) -> Any:
    """Return the request among a view's arguments: the first, or the second of a method."""
    return args[0] if hasattr(args[0], "META") else args[1]
