"""Whether a caller may be kept waiting."""

from __future__ import annotations

import asyncio


def is_in_event_loop() -> bool:
    """Tell whether this thread runs an event loop, which must not be blocked."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
