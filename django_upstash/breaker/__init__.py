"""
A circuit breaker for what a site depends on, whose circuit all processes share.

    from django_upstash.breaker import CircuitBreaker
    stripe = CircuitBreaker("stripe")

    @stripe
    def charge(card): ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_upstash.breaker.circuit import Stats
    from django_upstash.breaker.circuit_breaker import CircuitBreaker
    from django_upstash.breaker.signals import closed, half_opened, opened, refused
    from django_upstash.breaker.status import Standing, State
    from django_upstash.exceptions import CircuitOpen

__all__ = [
    "CircuitBreaker",
    "CircuitOpen",
    "Standing",
    "State",
    "Stats",
    "closed",
    "half_opened",
    "opened",
    "refused",
]

_MODULES = {
    "CircuitBreaker": "django_upstash.breaker.circuit_breaker",
    "CircuitOpen": "django_upstash.exceptions",
    "Standing": "django_upstash.breaker.status",
    "State": "django_upstash.breaker.status",
    "Stats": "django_upstash.breaker.circuit",
    "closed": "django_upstash.breaker.signals",
    "half_opened": "django_upstash.breaker.signals",
    "opened": "django_upstash.breaker.signals",
    "refused": "django_upstash.breaker.signals",
}


def __getattr__(name: str) -> Any:
    # Imported at first use: the settings and checks of this package need none of it.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)
