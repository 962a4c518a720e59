"""What locks declare."""

from __future__ import annotations

from django_upstash.features import Feature, KeptState

FEATURE = Feature(name="locks", state=KeptState(title="locks", key_beginnings=lambda: ("lock:", "fence:")))
