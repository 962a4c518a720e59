"""What publish and subscribe declares: it keeps nothing."""

from __future__ import annotations

from django_upstash.features import Feature

FEATURE = Feature(name="pubsub", stream_test="django_upstash.pubsub.events.stream_works")
