"""What locks declare."""

from __future__ import annotations

from django_upstash.features import Feature, State

FEATURE = Feature(name="locks", state=State(title="locks", key_beginnings=lambda: ("lock:", "fence:")))
