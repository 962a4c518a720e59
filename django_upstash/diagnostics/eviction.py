"""Whether a database may drop what features keep in it, and what to do about that."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from django_upstash.diagnostics import state
from django_upstash.diagnostics.server import ServerInfo, server_info
from django_upstash.exceptions import ResponseError
from django_upstash.operations.key_kind import Kind
from django_upstash.operations.key_scan import pages

if TYPE_CHECKING:
    from django_upstash.connections import Connection

_MOST_PAGES = 5


def warning(connection: Connection, feature: str) -> str | None:
    """Return the sentence about a database that may evict what a feature keeps there; None where it does not."""
    info = eviction_of(connection)
    if info is None or not state.are_evicted([feature] if info.evicts else [], str(info.eviction_policy)):
        return None
    return (
        f"The database evicts keys when it is full ({info.eviction_policy}), those of {feature} among them: turn "
        f"eviction off, or give them a database of their own with {state.setting_of(feature)}."
    )


def eviction_of(connection: Connection) -> ServerInfo | None:
    """Ask the server about itself; None where it, or what the user may do, does not tell."""
    try:
        return connection.run(server_info(connection.settings.database))
    except ResponseError:
        return None


def endangered(connection: Connection, info: ServerInfo) -> list[str]:
    """Return the features of which the database may drop keys: by the settings, and by some thousand keys in it."""
    if not info.evicts:
        return []
    features = [holder.feature for holder in state.holders_on(connection.settings)]
    return state.are_evicted([*features, *state.features_of(_some_names(connection))], str(info.eviction_policy))


def _some_names(connection: Connection) -> Iterator[bytes]:
    for found in islice(pages(connection.run, Kind("*")), _MOST_PAGES):
        yield from map(str.encode, found.keys)
