"""Signals that breakers send, with ``send_robust``: no receiver can break a call."""

from __future__ import annotations

from django.dispatch import Signal

# The state of a circuit has changed, as this process learns of it. Arguments: breaker (its name), state, decided_here
# (whether a call of this process has brought it about: of all processes that share the circuit, True in one).
opened = Signal()
half_opened = Signal()
closed = Signal()
# A call was refused. Arguments: breaker (its name), retry_after (seconds).
refused = Signal()
