"""An Upstash REST front over any real Redis or Valkey, for development and tests."""

from __future__ import annotations

from django_upstash.dev_server.server import LocalServer

__all__ = ["LocalServer"]
