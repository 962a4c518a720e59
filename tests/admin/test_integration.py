"""The model without a table, other admin sites, the settings' checks, and what is not installed."""

from __future__ import annotations

import gettext
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import override_settings
from django.urls import path

from django_upstash import admin as pages
from django_upstash.admin.checks import check_admin
from django_upstash.models import RateLimitCounter
from django_upstash.ratelimit import RateLimiter
from django_upstash.ratelimit.checks import check_limiters
from django_upstash.settings.admin import admin_settings
from tests.admin.conftest import LIST

ROOT = Path(__file__).resolve().parents[2]
ops = admin.AdminSite(name="ops")
pages.register(ops)
urlpatterns = [path("ops/", ops.urls), path("admin/", admin.site.urls)]


@pytest.mark.django_db
def test_migrations__are_complete_and_make_no_table() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)
    assert "django_upstash_ratelimitcounter" not in connection.introspection.table_names()


@pytest.mark.django_db
@pytest.mark.parametrize("everything", [False, True])
def test_dumpdata__finds_nothing(everything: bool) -> None:
    written = io.StringIO()
    call_command("dumpdata", "django_upstash", all=everything, stdout=written)
    assert written.getvalue().strip() == "[]"


@pytest.mark.django_db(transaction=True)
def test_flush__has_nothing_to_do() -> None:
    call_command("flush", interactive=False, verbosity=0)
    assert RateLimitCounter.objects.count() == 0
    assert list(RateLimitCounter._base_manager.all()) == []


@pytest.mark.django_db
def test_permissions__are_those_that_mean_something() -> None:
    names = Permission.objects.filter(content_type__model="ratelimitcounter").values_list("codename", flat=True)
    assert sorted(names) == ["change_ratelimitcounter", "delete_ratelimitcounter", "view_ratelimitcounter"]


@pytest.mark.django_db
@override_settings(ROOT_URLCONF=__name__)
def test_custom_site__has_the_page_too(limiter: RateLimiter, route: str) -> None:
    limiter.hit("user:1")
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("boss"))
    assert 'href="/ops/django_upstash/ratelimitcounter/"' in client.get("/ops/").content.decode()
    html = client.get("/ops/django_upstash/ratelimitcounter/", {"alias": route}).content.decode()
    assert 'href="/ops/django_upstash/ratelimitcounter/ratelimit_3Adefault_3Afew_3Auser_3A1/change/' in html
    assert 'href="/admin/' not in html
    form = {"alias": route, "selected": ["ratelimit:default:few:user:1"]}
    page = client.post("/ops/django_upstash/ratelimitcounter/do/reset/", form).content.decode()
    assert 'action="/ops/django_upstash/ratelimitcounter/do/reset/"' in page


def test_register__twice_does_no_harm() -> None:
    pages.register(ops)
    assert ops.is_registered(RateLimitCounter)
    assert admin.site.is_registered(RateLimitCounter)


def test_german__is_translated(operator: Client, limiter: RateLimiter, route: str) -> None:
    answer = operator.get(LIST, {"alias": route}, headers={"accept-language": "de"})
    assert answer.status_code == 200
    from django.utils import translation

    with translation.override("de"):
        assert RateLimitCounter._meta.verbose_name_plural == "Zähler der Ratenbegrenzung"
        assert str(translation.gettext("Reset counters?")) == "Zähler zurücksetzen?"


MISTAKES: list[tuple[Any, str]] = [
    ([], "E301"),
    ({"READONLY": True}, "E302"),
    ({"READ_ONLY": "yes"}, "E303"),
    ({"REFRESH": 0}, "E304"),
    ({"REFRESH": True}, "E304"),
    ({"TIMEOUT": None}, "E305"),
    ({"SCAN_PAGES": 0}, "E306"),
    ({"LIMITERS": "shop.limits.limiter"}, "E307"),
    ({"LIMITERS": ["limiter"]}, "E307"),
    ({"LIMITERS": ["shop.limits.limiter"]}, "E308"),
    ({"LIMITERS": ["tests.admin.conftest.LIST"]}, "E308"),
]


def test_checks__each_has_one_row_in_the_docs() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "admin.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `django_upstash\.(E\d{3})`", page, re.MULTILINE) == sorted({id for _, id in MISTAKES})


@pytest.mark.parametrize(("given", "id"), MISTAKES)
def test_check__finds_the_mistake(settings: Any, given: Any, id: str) -> None:
    settings.UPSTASH_ADMIN = given
    (found,) = [*check_admin(), *check_limiters()]
    assert found.id == f"django_upstash.{id}"
    assert found.hint
    if id < "E308":
        with pytest.raises(ImproperlyConfigured, match="UPSTASH_ADMIN"):
            admin_settings()


def test_check__finds_nothing_wrong_with_what_is_right(settings: Any) -> None:
    settings.UPSTASH_ADMIN = {
        "READ_ONLY": True,
        "REFRESH": None,
        "TIMEOUT": 0.5,
        "SCAN_PAGES": 3,
        "LIMITERS": ["tests.admin.named_limiters.limiters"],
    }
    assert check_admin() == []
    settings.UPSTASH_ADMIN = {"REFRESH": 2}
    assert check_admin() == []


WITHOUT = """
import sys, django
sys.modules["rest_framework"] = None
from django.conf import settings
settings.configure(
    SECRET_KEY="x", INSTALLED_APPS={apps}, USE_TZ=True, ROOT_URLCONF={urls!r},
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[{{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {{
        "context_processors": [
            "django.template.context_processors.request",
            "django.contrib.auth.context_processors.auth",
            "django.contrib.messages.context_processors.messages",
        ]}}}}],
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", STATIC_URL="static/",
    UPSTASH={{"default": {{"URL": "redis://127.0.0.1:1"}}}},
)
django.setup()
from django.core.management import call_command
assert "redis" not in sys.modules
call_command("check", fail_level="WARNING")
assert "redis" not in sys.modules
call_command("migrate", verbosity=0)
call_command("dumpdata", "django_upstash")
"""
BARE = ["django.contrib.contenttypes", "django_upstash"]
FULL = [f"django.contrib.{name}" for name in ("admin", "auth", "contenttypes", "messages", "sessions")]
LOOK = """
from django.test import Client
from django.contrib.auth import get_user_model
client = Client(headers={"host": "localhost"})
client.force_login(get_user_model().objects.create_superuser("boss"))
assert b"cannot be asked" in client.get("/admin/django_upstash/ratelimitcounter/").content
"""


@pytest.mark.parametrize(
    ("installed", "urls", "more"),
    [(BARE, "tests.admin.no_urls", ""), ([*FULL, "django_upstash"], "tests.urls", LOOK)],
    ids=["without admin", "without DRF"],
)
def test_site__works_without(installed: list[str], urls: str, more: str) -> None:
    code = WITHOUT.format(apps=installed, urls=urls) + more
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_static_files_and_templates__are_found() -> None:
    app = Path(apps.get_app_config("django_upstash").path)
    assert {path.name for path in (app / "static" / "django_upstash").iterdir()} == {"pages.css", "pages.js"}
    for template in (app / "templates").rglob("*.html"):
        text = template.read_text(encoding="utf-8")
        assert not {"<style", " style=", "onclick", "|safe", "autoescape"} & {
            word for word in ("<style", " style=", "onclick", "|safe", "autoescape") if word in text
        }, template
        assert text.count("<script") == text.count('<script type="module" src=')


def test_compiled_translations__are_those_of_the_source() -> None:
    folder = Path(apps.get_app_config("django_upstash").path) / "locale" / "de" / "LC_MESSAGES"
    with (folder / "django.mo").open("rb") as compiled:
        known = gettext.GNUTranslations(compiled)
    source = (folder / "django.po").read_text(encoding="utf-8")
    pairs = re.findall(r'^msgid "(.+)"\nmsgstr "(.+)"$', source, re.MULTILINE)
    assert len(pairs) > 100
    unescaped = [[part.replace('\\"', '"') for part in pair] for pair in pairs]
    assert [text for text, meaning in unescaped if known.gettext(text) != meaning] == []
