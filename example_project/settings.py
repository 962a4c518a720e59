"""
A site whose cache is one Redis database, reached natively and over REST.

``python manage.py runserver`` needs nothing else: without ``REDIS_URL`` the package starts a server of its own. The
REST side appears where ``UPSTASH_REDIS_REST_URL`` and ``UPSTASH_REDIS_REST_TOKEN`` are set; ``scripts/demo`` sets them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from django_upstash.settings.environment import key_prefix_from_env

BASE_DIR = Path(__file__).resolve().parent.parent
DEBUG = os.environ.get("DJANGO_DEBUG", "1") == "1"
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "")
if not SECRET_KEY:
    if not DEBUG:
        raise ImproperlyConfigured("DJANGO_SECRET_KEY is not set; with DJANGO_DEBUG=0 the site needs one of its own.")
    SECRET_KEY = "django-insecure-this-key-is-public-and-only-for-the-example"
ALLOWED_HOSTS = os.environ.get("DJANGO_ALLOWED_HOSTS", "").split()
ROOT_URLCONF = "example_project.urls"
WSGI_APPLICATION = "example_project.wsgi.application"

UPSTASH: dict[str, dict[str, Any]] = {"default": {"URL": os.environ.get("REDIS_URL") or "embedded://"}}
CACHES = {"default": {"BACKEND": "django_upstash.cache.UpstashCache", "LOCATION": "default", "KEY_PREFIX": "example"}}
if rest_url := os.environ.get("UPSTASH_REDIS_REST_URL"):
    UPSTASH["rest"] = {"URL": rest_url, "TOKEN": os.environ.get("UPSTASH_REDIS_REST_TOKEN", "")}
    CACHES["rest"] = {"BACKEND": "django_upstash.cache.UpstashCache", "LOCATION": "rest", "KEY_PREFIX": "example"}

UPSTASH_KEY_PREFIX = key_prefix_from_env()  # another in each preview, for previews share the database

# The one database has its eviction off; a cache that is to evict would have another.
SILENCED_SYSTEM_CHECKS = ["django_upstash.W009"]
SESSION_ENGINE = "django_upstash.sessions"
UPSTASH_SESSIONS = {"PREFIX": "example-session", "INDEX": True}
UPSTASH_RATELIMIT = {"ON_FAILURE": "local", "X_HEADERS": True, "STATISTICS": True}
UPSTASH_ADMIN: dict[str, Any] = {"LIMITERS": ["example_project.traffic.limiter"]}
REST_FRAMEWORK = {
    "DEFAULT_THROTTLE_RATES": {"burst": "10/min", "sustained": "1000/day", "writes": "5/min", "failed logins": "3/5m"},
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "NUM_PROXIES": 0,
}
LOGIN_URL, LOGIN_REDIRECT_URL, LOGOUT_REDIRECT_URL = "login", "devices", "login"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_upstash",
    "example_project.pages",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "example_project.security.ContentSecurityPolicyMiddleware",
    "django_upstash.health.unavailable.OutageMiddleware",
    "django_upstash.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
TIME_ZONE = "UTC"
USE_TZ = True

# What `check --deploy` asks of a site that the world can reach.
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEBUG
SECURE_HSTS_SECONDS = 0 if DEBUG else 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = not DEBUG
