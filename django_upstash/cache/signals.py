"""Signals of this package, sent with ``send_robust``: no receiver can break the operation it hears of."""

from __future__ import annotations

from django.dispatch import Signal

__all__ = ["backend_changed"]

# A cache answers from elsewhere now. Arguments: location (the connection's alias), key_prefix, backend ("server",
# "memory" or "default"), error (what kept the server from answering; None at its return).
backend_changed = Signal()
