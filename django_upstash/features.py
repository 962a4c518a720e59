"""
The features of this package: a folder each, whose ``feature.py`` declares a ``Feature``.

System checks, ``redis_health``, the admin and everything else that concerns all features iterate over ``features()``.
To remove a feature, delete its folder and its name in ``NAMES``; those that need it are left out and say so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from django_upstash.operations.key_kind import Kind
    from django_upstash.settings.connection import ConnectionSettings

NAMES = (
    "cache",
    "sessions",
    "ratelimit",
    "observability",
    "breaker",
    "idempotency",
    "locks",
    "queues",
    "tasks",
    "pubsub",
    "tenants",
)


class Check(NamedTuple):
    """A system check: the dotted path of its function, and Django's tags for it beside this package's own."""

    function: str
    tags: tuple[str, ...] = ()
    deploy: bool = False


class StatePlace(NamedTuple):
    """A connection that a feature keeps state on, and the setting that names another one."""

    alias: str
    setting: str

    @classmethod
    def of(cls, entry: object, setting: str, default: str = "default") -> StatePlace:
        """Return the place that the ``ALIAS`` of a dict in the settings names, or else the default."""
        return cls(str(entry.get("ALIAS", default)) if isinstance(entry, Mapping) else default, setting)


@dataclass(frozen=True, kw_only=True)
class KeptState:
    """
    What a feature keeps that is lost if the server evicts it.

    ``title`` is the feature's name in sentences. ``key_beginnings`` returns what its keys begin with after the prefix
    of the environment; ``places`` yields where the settings say that the site keeps it. ``setting`` names what moves it
    to another connection. Without a lifetime, ``volatile-*`` policies leave its keys alone.
    """

    title: str
    key_beginnings: Callable[[], tuple[str, ...]] = tuple
    places: Callable[[], Iterable[StatePlace]] = tuple
    setting: str = "alias"
    has_lifetime: bool = True


@dataclass(frozen=True, kw_only=True)
class FlushTarget:
    """
    Keys that ``redis_health flush NAME`` counts and removes.

    ``settings`` returns those of the connection they are on; None if the caller names it.
    """

    name: str
    kinds: Callable[[], Sequence[Kind]]
    settings: Callable[[], ConnectionSettings] | None = None


@dataclass(frozen=True, kw_only=True)
class Feature:
    """
    What a feature declares. Texts with dots are paths, imported when they are asked for.

    ``needs`` are the names of the features it is made of, ``sections`` its classes for ``redis_health``, and
    ``admin_pages`` maps models to the classes of their pages in the admin. ``metrics`` is a function that yields lines
    of OpenMetrics. ``stream_test`` is an async function of a
    connection and a channel that tells whether event streams work.
    """

    name: str
    needs: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    state: KeptState | None = None
    flush_targets: Callable[[], Iterable[FlushTarget]] = tuple
    sections: tuple[str, ...] = ()
    admin_pages: Mapping[str, str] = field(default_factory=dict)
    metrics: str = ""
    stream_test: str = ""


@cache
def features() -> tuple[Feature, ...]:
    """Return the features whose needs are there, in the order of ``NAMES``."""
    lacking = {feature.name for feature, _ in incomplete()}
    return tuple(feature for feature in _declared() if feature.name not in lacking)


def incomplete() -> Iterator[tuple[Feature, tuple[str, ...]]]:
    """Yield each feature some of whose needs are not there, with the names of those."""
    usable = set(NAMES)
    for feature in _declared():
        missing = tuple(name for name in feature.needs if name not in usable)
        if missing:
            usable.discard(feature.name)
            yield feature, missing


def import_lazily(package: str, names: Mapping[str, Sequence[str]], *, feature: str = "") -> Callable[[str], Any]:
    """
    Return the ``__getattr__`` of a package that imports its public names at first use (PEP 562).

    ``names`` are those of each module. Start-up and system checks need none of them, and most bring redis-py. Where
    the needs of ``feature`` are not there, using a name raises ``ImproperlyConfigured``.
    """
    modules = {name: module for module, of_module in names.items() for name in of_module}

    def __getattr__(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if feature:
            require(feature)
        found = getattr(import_module(modules[name]), name)
        setattr(sys.modules[package], name, found)
        return found

    return __getattr__


def require(name: str) -> None:
    """Raise ``ImproperlyConfigured`` where something is not there that the feature of this name needs."""
    for feature, missing in incomplete():
        if feature.name == name:
            raise ImproperlyConfigured(needs_sentence(feature, missing))


def needs_sentence(feature: Feature, missing: Sequence[str]) -> str:
    """Return the sentence about a feature whose needs are not there."""
    return f"django_upstash.{feature.name} needs {' and '.join(missing)}, which this installation does not have."


def states() -> list[KeptState]:
    """Return what the features keep that must not be evicted."""
    return [feature.state for feature in features() if feature.state is not None]


@cache
def _declared() -> tuple[Feature, ...]:
    return tuple(import_module(f"django_upstash.{name}.feature").FEATURE for name in NAMES)
