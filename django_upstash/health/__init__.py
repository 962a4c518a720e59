"""
Addresses for probes: whether this process lives, and whether its Redis answers.

    path("health/", include("django_upstash.health.urls"))        # health/live/ and health/ready/
    path("health/", include("django_upstash.health.async_urls"))  # the same under ASGI
"""
