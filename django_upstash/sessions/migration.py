"""The engine that a site's sessions were in before, from which they are taken over one by one, as they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django_upstash.operations.steps import Method


class OldEngine:
    """One session in the engine at a dotted path; each method returns the step to be carried out."""

    def __init__(self, path: str, session_key: str) -> None:
        self._session_key = session_key
        self._store = import_module(path).SessionStore(session_key)

    def load(self) -> Method:
        return Method(self._store, "load")

    def exists(self) -> Method:
        return Method(_authority(self._store), "exists", (self._session_key,))

    def delete(self) -> Method:
        return Method(self._store, "delete", (self._session_key,))


def _authority(store: Any) -> Any:
    """Return what knows whether a session exists: of ``cached_db`` the table, as a late reader may refill its cache."""
    if not type(store).__module__.endswith(".cached_db"):
        return store
    from django.contrib.sessions.backends.cached_db import SessionStore as CachedDBStore

    return super(CachedDBStore, store)
