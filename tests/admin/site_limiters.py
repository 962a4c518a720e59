"""What the browser tests' site limits, for its process and for the tests'."""

from __future__ import annotations

from django_upstash.ratelimit import FixedWindow, SlidingWindow, TokenBucket

POLICIES = [SlidingWindow("100/h", scope="sustained"), TokenBucket("1/min", burst=3, scope="burst")]
LOGIN = FixedWindow("5/h", scope="login")
