"""
Throttles for Django REST framework that replace its own: exact, atomic, all of a view in one round trip.

    REST_FRAMEWORK = {
        "DEFAULT_THROTTLE_CLASSES": ["django_upstash.throttling.UserRateThrottle"],
        "DEFAULT_THROTTLE_RATES": {"user": "1000/day"},
    }
"""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("rest_framework") is None:
    raise ImportError("django_upstash.throttling needs Django REST framework: pip install 'django-upstash[drf]'")

from django_upstash.throttling.classes import (
    AnonRateThrottle,
    PolicyThrottle,
    RateThrottle,
    ScopedRateThrottle,
    TenantRateThrottle,
    UserRateThrottle,
)
from django_upstash.throttling.responses import exception_handler

__all__ = [
    "AnonRateThrottle",
    "PolicyThrottle",
    "RateThrottle",
    "ScopedRateThrottle",
    "TenantRateThrottle",
    "UserRateThrottle",
    "exception_handler",
]
