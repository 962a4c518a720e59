"""
What caches of equal settings share.

Under ASGI, Django makes new cache objects for every request: ``django.core.cache.caches`` is local to the task. What
such an object makes of its settings is the same each time, so that equal ones copy it from a prototype.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from django_upstash.connections import connections

Cache = TypeVar("Cache")

_MOST = 256  # prototypes, for a site that makes caches of ever new settings
_OURS = ("builtins", "django.core.cache.", "django_redis.", "django_upstash.", "typing")
_MAY_KEEP_STATE = ("SERIALIZER", "COMPRESSOR")
_STATELESS = ("django_redis.", "django_upstash.")
_prototypes: dict[Any, Any] = {}


def settings_key(kind: type, server: Any, params: Mapping[str, Any]) -> Any:
    """
    Return what equal settings have in common; None where objects made of them cannot be shared.

    Types count, for 1 and True are equal. A serializer of the project's own may be used by one thread only.
    """
    options = params.get("OPTIONS", {})
    for name in _MAY_KEEP_STATE:
        if name in options and not str(options[name]).startswith(_STATELESS):
            return None
    key = (
        connections.generation,
        kind,
        server,
        tuple([(name, _frozen(value), type(value)) for name, value in params.items() if name != "OPTIONS"]),
        tuple([(name, _frozen(value), type(value)) for name, value in options.items()]),
    )
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple([(name, _frozen(item), type(item)) for name, item in value.items()])
    if isinstance(value, list | tuple):
        return tuple([(_frozen(item), type(item)) for item in value])
    return value


def prototype(key: Any) -> Any:
    """Return the cache that those of equal settings copy; None if there is none yet."""
    return _prototypes.get(key)


def keep_prototype(key: Any, cache: Cache) -> Cache | None:
    """Keep a copy of a new cache for those to come, unless its class is a project's own; return the copy."""
    kind = type(cache)
    if not all(base.__module__.startswith(_OURS) for base in kind.__mro__):
        return None
    made = kind.__new__(kind)
    made.__dict__.update(cache.__dict__)
    if len(_prototypes) >= _MOST:
        _prototypes.clear()
    _prototypes[key] = made
    return made


def forget_prototypes() -> None:
    """Let the next caches be made of their settings again."""
    _prototypes.clear()


if TYPE_CHECKING:
    shared_property = cached_property
else:

    class shared_property(cached_property):
        """A ``cached_property`` that caches of equal settings take from their prototype."""

        def __get__(self, cache: Any, owner: type | None = None) -> Any:
            if cache is None or cache._prototype is None:
                return super().__get__(cache, owner)
            made = cache.__dict__[self.attrname] = getattr(cache._prototype, self.attrname)
            return made
