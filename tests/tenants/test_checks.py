"""``UPSTASH_TENANTS``: its mistakes, in the system checks and where it is used."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core import checks as django_checks
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_upstash.settings import checks
from django_upstash.tenants.settings import SCHEMA, TenantSettings
from django_upstash.tenants.tenant_keys import space

UPSTASH = {"default": {"URL": "rediss://:secret@redis.example.com"}}
CACHES = {
    "default": {"BACKEND": "django_upstash.cache.UpstashCache", "LOCATION": "default", "KEY_PREFIX": "shop"},
    "local": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
}
CASES: list[tuple[str, Any]] = [
    ("E481", ["acme"]),
    ("E481", None),
    ("E482", {"ALIASS": "default"}),
    ("E482", {5: "default"}),
    ("E483", {"ALIAS": ""}),
    ("E483", {"CACHE": None}),
    ("E483", {"PREFIX": "a{b"}),
    ("E483", {"PREFIX": "a" * 101}),
    ("E484", {"ALIAS": "elsewhere"}),
    ("E484", {"CACHE": "elsewhere"}),
    ("E484", {"CACHE": "local"}),
    ("E485", {"REFRESH": -1}),
    ("E485", {"REFRESH": "10"}),
    ("E485", {"FLUSH_SECONDS": float("nan")}),
    ("E485", {"KEEP_USAGE": 60}),
    ("E486", {"FLUSH_COUNT": 0}),
    ("E486", {"REMEMBERED": 1.5}),
    ("E486", {"PENDING": True}),
    ("E486", {"REQUIRED": "yes"}),
    ("E487", {"PERIOD": "year"}),
    ("E488", {"HEADER": "X Tenant"}),
    ("E488", {"SUBDOMAIN_OF": "https://example.com"}),
    ("E488", {"FIND": "by_path"}),
    ("E489", {"HEADER": "X-Tenant", "SUBDOMAIN_OF": "example.com"}),
]
SOUND: list[Any] = [
    {},
    {"ALIAS": "default", "CACHE": "default", "PREFIX": "shop:eu", "REFRESH": 0, "FLUSH_SECONDS": timedelta(seconds=5)},
    {"KEEP_USAGE": None, "PERIOD": "day", "HEADER": "X-Tenant", "REQUIRED": True, "SUBDOMAIN_OF": None},
    {"FIND": "shop.tenants.of_request", "PENDING": 1, "FLUSH_COUNT": 1, "REMEMBERED": 1, "KEEP_USAGE": 86400},
]


def run(given: Any) -> list[Any]:
    with override_settings(UPSTASH=UPSTASH, CACHES=CACHES, UPSTASH_TENANTS=given):
        return django_checks.run_checks(tags=[checks.TAG])


@pytest.mark.parametrize(("expected", "given"), CASES)
def test_check_tenants__finds(expected: str, given: Any) -> None:
    (found,) = run(given)
    assert found.id == f"django_upstash.{expected}"
    assert found.hint


@pytest.mark.parametrize("given", SOUND)
def test_check_tenants__sound(given: Any) -> None:
    assert run(given) == []


@pytest.mark.parametrize(("expected", "given"), [case for case in CASES if case[0] != "E484"])
def test_space__raises_the_same_sentence(expected: str, given: Any) -> None:
    (found,) = run(given)
    with override_settings(UPSTASH=UPSTASH, UPSTASH_TENANTS=given), pytest.raises(ImproperlyConfigured) as caught:
        space()
    assert str(caught.value) == f"{found.msg} {found.hint}"


def test_ids__each_has_a_case_and_a_row_in_the_docs() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "tenants.md").read_text("utf-8")
    rows = re.findall(r"^\| `django_upstash\.([EW]\d{3})` \|", page, re.MULTILINE)
    assert rows == sorted({case[0] for case in CASES}) == [f"E48{number}" for number in range(1, 10)]


def test_rules__cover_every_field() -> None:
    assert {name.lower() for name in SCHEMA.rules} == set(TenantSettings.__dataclass_fields__)


def test_typed__times_are_seconds_and_domains_plain() -> None:
    made = SCHEMA.typed({"KEEP_USAGE": timedelta(days=2), "SUBDOMAIN_OF": ".Example.COM"})
    assert (made.keep_usage, made.subdomain_of) == (172_800, "example.com")
