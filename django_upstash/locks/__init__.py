"""
Locks among processes and machines: leases with tokens, renewal, and fencing numbers.

    with Lock("nightly-report", lease=30):
        ...
"""

from __future__ import annotations

from django_upstash.locks.lock import Lock

__all__ = ["Lock"]
