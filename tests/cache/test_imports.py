"""A cache over REST imports neither redis-py nor django-redis, and is still what those libraries know."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from django_upstash.dev_server import LocalServer

ROOT = Path(__file__).resolve().parent.parent.parent
CONFIGURE = """
import sys
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["django_upstash"],
    SECRET_KEY="x",
    UPSTASH={"default": {"URL": sys.argv[1], "TOKEN": sys.argv[2]}},
    CACHES={"default": {"BACKEND": "django_upstash.cache.UpstashCache", "LOCATION": "default"}},
)
django.setup()
from django.core.cache import cache
cache.set("k", 1, 60)
assert cache.get("k") == 1
"""
HEAVY = "redis django_redis upstash_redis httpx requests"


def in_new_process(server: LocalServer, code: str) -> str:
    """Run code after a cache was used, in a new interpreter, and return what it prints."""
    ran = subprocess.run(
        [sys.executable, "-c", CONFIGURE + code, server.url, server.token],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.usefixtures("upstash")
def test_rest__imports_no_client_library(local_server: LocalServer) -> None:
    names = HEAVY.split()
    assert in_new_process(local_server, f"print([name for name in {names} if name in sys.modules])") == "[]\n"


KNOWN = """
from django.core.cache import caches
from django_upstash.cache import UpstashCache
made_before = caches["default"]
import django_redis.cache, django_redis.client, django_redis.util
assert isinstance(made_before, django_redis.cache.RedisCache)
assert isinstance(made_before.client, django_redis.client.DefaultClient)
assert isinstance(made_before.client.make_key("k"), django_redis.util.CacheKey)
assert made_before.get(django_redis.util.CacheKey(made_before.client.make_key("k"))) == 1
assert UpstashCache("default", {"OPTIONS": {}}).get("k") == 1
assert django_redis.get_redis_connection().exists(made_before.make_key("k")) == 1
"""
SUBCLASS = """
import django_redis.cache
from django_upstash.cache import UpstashCache

class Counted(django_redis.cache.RedisCache):
    found = 0
    def get(self, *args, **kwargs):
        type(self).found += 1
        return super().get(*args, **kwargs)

class Both(Counted, UpstashCache):
    pass

assert Both("default", {"OPTIONS": {}}).get("k") == 1
assert Both.found == 1
"""
CAUGHT = """
from django_upstash.exceptions import ConnectionError
import redis
try:
    raise ConnectionError("x")
except redis.ConnectionError:
    pass
"""


@pytest.mark.usefixtures("upstash")
@pytest.mark.parametrize("code", [KNOWN, SUBCLASS, CAUGHT], ids=["known", "subclass", "caught"])
def test_libraries_imported_later__know_the_cache(local_server: LocalServer, code: str) -> None:
    assert in_new_process(local_server, code) == ""
