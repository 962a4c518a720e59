"""
Rate limits of views and of whole sites: a decorator, a middleware, and response headers.

    from django_upstash.ratelimit.web import ratelimit

    @ratelimit("60/min")
    def search(request): ...
"""

from __future__ import annotations

from django_upstash.ratelimit.web.client_addresses import client_address
from django_upstash.ratelimit.web.decorators import ratelimit
from django_upstash.ratelimit.web.identities import address, user_or_address
from django_upstash.ratelimit.web.middleware import RateLimitMiddleware
from django_upstash.ratelimit.web.request_limit import decisions_about
from django_upstash.ratelimit.web.responses import problem_response

__all__ = [
    "RateLimitMiddleware",
    "address",
    "client_address",
    "decisions_about",
    "problem_response",
    "ratelimit",
    "user_or_address",
]
