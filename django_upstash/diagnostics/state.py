"""
Which features keep state on which connection: what must not go when a cache fills the database.

Of queues, locks and limiters, which are named in code, the settings do not tell; their keys do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from django_upstash.features import StatePlace, states
from django_upstash.settings import conf, hosts
from django_upstash.settings.conf import ConnectionSettings
from django_upstash.settings.key_prefix import environment

WAY_OUT = "Turn eviction off, or put caches and state on two databases: each feature takes the ALIAS of a connection."


class Holder(NamedTuple):
    """A feature that keeps state, by its title, and where it does."""

    feature: str
    place: StatePlace


def holders() -> Iterator[Holder]:
    """Yield the features whose settings say that the site uses them."""
    return (Holder(state.title, place) for state in states() for place in state.places())


def holders_on(settings: ConnectionSettings) -> Iterator[Holder]:
    """Yield the features that keep state in the database of a connection, by whichever route."""
    for holder in holders():
        alias = holder.place.alias
        given = conf.entries().get(alias)
        if given is None or any(conf.mistakes(alias, given)):
            continue  # said by the checks of the feature, or of the connection
        if database(conf.make_settings(alias, given)) == database(settings):
            yield holder


def database(settings: ConnectionSettings) -> tuple[object, ...]:
    """Return what tells one database from another; both routes to an Upstash database lead to the same."""
    host = settings.parts.hostname
    if hosts.is_upstash(host):
        return (host,)
    return host, settings.parts.port or 6379, "" if host else settings.parts.path, settings.database


def are_evicted(features: Iterable[str], policy: str) -> list[str]:
    """Return those of the features that a policy takes keys of; by volatile-* none without a lifetime go."""
    is_volatile = policy.startswith("volatile-")
    kept = {state.title for state in states() if is_volatile and not state.has_lifetime}
    return sorted(set(features) - kept)


def features_of(names: Iterable[bytes]) -> list[str]:
    """Return the features that keys of a database belong to."""
    titles = {beginning.encode(): state.title for state in states() for beginning in state.key_beginnings()}
    prefix = environment().encode()
    own = [name.removeprefix(prefix) for name in names]
    return sorted({title for beginning, title in titles.items() if any(name.startswith(beginning) for name in own)})


def setting_of(feature: str) -> str:
    """Return the setting that moves a feature to another connection."""
    return next((state.setting for state in states() if state.title == feature), "alias")
