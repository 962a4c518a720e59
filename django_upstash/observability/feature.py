"""What observability declares."""

from __future__ import annotations

from django_upstash.features import Feature

FEATURE = Feature(name="observability", sections=("django_upstash.observability.health.StatsSection",))
