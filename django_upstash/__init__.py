"""Django's cache, sessions and DRF throttles on Upstash Redis, over the native protocol or over HTTPS."""

from __future__ import annotations

__version__ = "0.1.0"
