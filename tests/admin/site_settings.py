"""
The example site as the browser tests see it: sessions in the database, so that a dead server ends no login.

``SITE_SESSIONS=example`` leaves them where the example has them.
"""

from __future__ import annotations

import os

from example_project.settings import *  # noqa: F403

ROOT_URLCONF = "tests.admin.site_urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SITE_DATABASE"]}}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
UPSTASH_RATELIMIT = {"TIMEOUT": 5, "STATISTICS": True}
UPSTASH_ADMIN = {"REFRESH": float(os.environ.get("SITE_REFRESH", "1")), "TIMEOUT": 1.5}
MIDDLEWARE = [*MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]  # noqa: F405
if os.environ.get("SITE_SESSIONS") != "example":
    SESSION_ENGINE = "django.contrib.sessions.backends.db"
    MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware" if name.startswith("django_upstash.sessions") else name
        for name in MIDDLEWARE
    ]
LANGUAGE_CODE = os.environ.get("SITE_LANGUAGE", "en")
