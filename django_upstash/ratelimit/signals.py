"""Signals that limiters send, with ``send_robust``: no receiver can break a decision."""

from __future__ import annotations

from django.dispatch import Signal

# Something was refused, or would have been outside shadow mode. Arguments: limiter, decision, tenant, identities (by
# scope, as the keys have them).
limited = Signal()
# A decision was made without the server. Arguments: limiter, decision, error.
unavailable = Signal()
