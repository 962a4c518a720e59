"""A feature is a folder and a name: without both, it and what needs it are gone, and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from django_upstash import features
from tests.servers import Server

PACKAGE = Path(features.__file__).parent
NEEDED_BY = {"queues": ["tasks"], "idempotency": ["tenants"]}
# Without its folder, nothing of a feature may be imported, wherever its name is written as a dotted path.
USE = """
import sys
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=[
        "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.messages",
        "django.contrib.sessions", "django_upstash",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[{
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": [
            "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
            "django.contrib.messages.context_processors.messages",
        ]},
    }],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    SECRET_KEY="x", ROOT_URLCONF="site_urls", ALLOWED_HOSTS=["*"], STATIC_URL="/static/",
    SESSION_ENGINE="django_upstash.sessions",
    UPSTASH={"default": {"URL": sys.argv[1]}},
    CACHES={"default": {
        "BACKEND": "django_upstash.cache.UpstashCache", "LOCATION": "default", "KEY_PREFIX": "shop",
    }},
)
import types
urls = types.ModuleType("site_urls")
sys.modules["site_urls"] = urls
django.setup()
from django.contrib import admin
from django.core.checks import run_checks
from django.core.management import call_command
from django.urls import path
urls.urlpatterns = [path("admin/", admin.site.urls)]
for message in run_checks():
    print("CHECK", message.id, message.msg)

from django.core.cache import cache
cache.set("k", 1)
assert cache.get("k") == 1
from django_upstash.ratelimit import RateLimiter, SlidingWindow
assert RateLimiter([SlidingWindow("5/min", scope="s")]).hit("ann").allowed
call_command("redis_health")
for words in (["keys"], ["key", "shop:1:k"], ["limits"], ["stats"], ["sessions"], ["flush", "limits"]):
    call_command("redis_health", *words)

call_command("migrate", verbosity=0)
from django.contrib.auth.models import User
from django.test import Client
client = Client()
client.force_login(User.objects.create_superuser("ann"))
assert client.get("/admin/").status_code == 200
for page, model_admin in admin.site._registry.items():
    if page._meta.app_label == "django_upstash":
        response = client.get(f"/admin/django_upstash/{page._meta.model_name}/")
        assert response.status_code == 200, (page, response.status_code)
        print("PAGE", page._meta.model_name)
"""


def remove(package: Path, name: str) -> None:
    shutil.rmtree(package / name)
    listing = package / "features.py"
    text = listing.read_text(encoding="utf-8")
    assert text.count(f'    "{name}",\n') == 1
    listing.write_text(text.replace(f'    "{name}",\n', ""), encoding="utf-8")


# What the copy lacks, an editable installation would find in this checkout.
ALONE = """
import sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")]
"""


def run(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    isolated = [sys.executable, "-c", f"{ALONE}sys.path.insert(0, {str(folder)!r})\n{code}", *arguments]
    return subprocess.run(isolated, capture_output=True, text=True, cwd=folder, check=False)


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("name", ["breaker", "idempotency", "locks", "queues", "pubsub", "tenants"])
def test_feature__is_removed_with_its_folder_and_its_name(name: str, tmp_path: Path, valkey: Server) -> None:
    shutil.copytree(PACKAGE, tmp_path / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    remove(tmp_path / PACKAGE.name, name)
    valkey.call("FLUSHALL")

    used = run(tmp_path, USE, valkey.url)

    assert used.returncode == 0, used.stderr
    told = re.findall(r"CHECK django_upstash\.(E\d+) (.*)", used.stdout)
    others = NEEDED_BY.get(name, [])
    assert told == [
        ("E061", f"django_upstash.{other} needs {name}, which this installation does not have.") for other in others
    ]
    for other in others:
        imported = run(tmp_path, f"from django_upstash.{other} import *")
        (error,) = imported.stderr.splitlines()[-1:]
        assert error == (
            "django.core.exceptions.ImproperlyConfigured: "
            f"django_upstash.{other} needs {name}, which this installation does not have."
        )


def test_names__are_the_folders_that_declare_a_feature() -> None:
    assert sorted(features.NAMES) == sorted(path.parent.name for path in PACKAGE.glob("*/feature.py"))
    assert [feature.name for feature in features.features()] == list(features.NAMES)
    assert list(features.incomplete()) == []
