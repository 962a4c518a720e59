"""``UPSTASH_IDEMPOTENCY``: what it may say, and which check says what is wrong."""

from __future__ import annotations

import os
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core import checks as django_checks
from django.core.exceptions import ImproperlyConfigured

from django_upstash.idempotency.checks import check_idempotency
from django_upstash.idempotency.settings import idempotency_settings
from django_upstash.settings import checks
from django_upstash.settings.environment import idempotency_from_env

ROOT = Path(__file__).resolve().parents[2]
KEY = os.urandom(32)
UPSTASH = {"default": {"URL": "rediss://:secret@redis.example.com"}}

# id, UPSTASH_IDEMPOTENCY: each gives this one message and no other.
CASES: list[tuple[str, Any]] = [
    ("E421", ["default"]),
    ("E422", {"TTLS": 1}),
    ("E422", {7: 1}),
    *[("E423", {"ALIAS": value}) for value in ("", None, 7)],
    *[("E423", {"TENANT": value}) for value in ("", "x" * 1025)],
    *[("E423", {"PRINCIPAL": value}) for value in ("who", 7)],
    *[("E424", {"TTL": value}) for value in (0, -1, "1d", True, float("nan"), timedelta(0), None)],
    ("E424", {"IN_PROGRESS_TTL": 1e12}),
    ("E424", {"IN_PROGRESS_TTL": 60, "TTL": 59}),
    ("E424", {"TTL": timedelta(seconds=30)}),
    *[("E425", {"ON_FAILURE": value}) for value in ("ajar", None, True)],
    *[("E425", {"STORE": value}) for value in ("5xx", 500)],
    *[("E426", {"METHODS": value}) for value in ("POST", ["PO ST"], [1], None)],
    *[("E426", {name: "yes"}) for name in ("REQUIRED", "BARE_KEYS")],
    *[("E426", {"MAX_RESPONSE_SIZE": value}) for value in (-1, "1 MB", True)],
    *[("E426", {"RETRY_AFTER": value}) for value in (0, 1.5)],
    *[("E427", {"ENCRYPTION_KEYS": value}) for value in ([b"short"], KEY, [1])],
    ("E428", {"ALIAS": "other"}),
]


@pytest.fixture(autouse=True)
def one_connection(settings: Any) -> None:
    settings.UPSTASH = UPSTASH
    settings.CACHES = {}


def found_by_checks() -> list[django_checks.CheckMessage]:
    return check_idempotency()


def test_check_idempotency__is_registered(settings: Any) -> None:
    settings.UPSTASH_IDEMPOTENCY = []
    found = [message.id for message in django_checks.run_checks(tags=[checks.TAG])]
    assert found == ["django_upstash.E421"]


def test_ids__each_has_a_case_and_one_row_in_the_docs() -> None:
    sources = [ROOT / "django_upstash" / name for name in ("idempotency/settings.py", "idempotency/checks.py")]
    written = {found for source in sources for found in re.findall(r'"([EW]\d{3})"', source.read_text("utf-8"))}
    page = (ROOT / "docs" / "idempotency.md").read_text("utf-8")
    assert {case[0] for case in CASES} | {"E429"} == written
    assert re.findall(r"^\| `([EW]\d{3})` \|", page, re.MULTILINE) == sorted(written)


@pytest.mark.parametrize(("expected", "given"), CASES)
def test_check_idempotency__finds(settings: Any, expected: str, given: Any) -> None:
    settings.UPSTASH_IDEMPOTENCY = given
    (found,) = found_by_checks()
    assert (found.id, found.level) == (f"django_upstash.{expected}", django_checks.ERROR)
    assert found.hint
    if expected != "E428":
        with pytest.raises(ImproperlyConfigured) as raised:
            idempotency_settings()
        assert str(raised.value) == f"{found.msg} {found.hint}"


def test_check_idempotency__shows_no_key(settings: Any) -> None:
    settings.UPSTASH_IDEMPOTENCY = {"ENCRYPTION_KEYS": ["secret"]}
    (found,) = found_by_checks()
    assert "secret" not in str(found)


def test_check_idempotency__of_encryption_without_its_package(settings: Any, monkeypatch: Any) -> None:
    settings.UPSTASH_IDEMPOTENCY = {"ENCRYPTION_KEYS": [KEY]}
    assert found_by_checks() == []
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert [found.id for found in found_by_checks()] == ["django_upstash.E427"]


@pytest.mark.parametrize(
    "path",
    [
        "django_upstash.idempotency.middleware.IdempotencyMiddleware",
        "django_upstash.idempotency.IdempotencyMiddleware",
    ],
)
def test_check_idempotency__of_the_middlewares_place(settings: Any, path: str) -> None:
    before = list(settings.MIDDLEWARE)
    settings.MIDDLEWARE = [*before, path]
    assert found_by_checks() == []
    settings.MIDDLEWARE = [path, *before]
    assert [found.id for found in found_by_checks()] == ["django_upstash.E429"]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"ALIAS": "default", "TENANT": "shop", "TTL": timedelta(days=2), "IN_PROGRESS_TTL": 0.5, "METHODS": {"put"}},
        {"REQUIRED": True, "BARE_KEYS": True, "ON_FAILURE": "open", "STORE": "all", "MAX_RESPONSE_SIZE": 0},
        {"RETRY_AFTER": 5, "PRINCIPAL": "shop.views.who", "ENCRYPTION_KEYS": [KEY, KEY.hex()]},
    ],
)
def test_check_idempotency__is_content(settings: Any, given: Any) -> None:
    settings.UPSTASH_IDEMPOTENCY = given
    assert found_by_checks() == []
    idempotency_settings()


def test_settings__without_the_setting_name_no_connection(settings: Any) -> None:
    settings.UPSTASH = {"main": UPSTASH["default"]}
    assert found_by_checks() == []
    settings.UPSTASH = {}
    settings.UPSTASH_IDEMPOTENCY = {}
    assert found_by_checks() == []


def test_settings__are_typed(settings: Any) -> None:
    found = idempotency_settings()
    assert (found.ttl, found.in_progress_ttl, found.methods, found.on_failure) == (
        86400,
        60,
        ("POST", "PATCH"),
        "closed",
    )
    settings.UPSTASH_IDEMPOTENCY = {"TTL": timedelta(hours=1), "METHODS": ["put"], "ENCRYPTION_KEYS": [KEY.hex()]}
    found = idempotency_settings()
    assert (found.ttl, found.methods, found.encryption_keys) == (3600, ("PUT",), (KEY,))
    assert repr(KEY) not in repr(found)


def test_settings__from_the_environment(settings: Any) -> None:
    settings.UPSTASH_IDEMPOTENCY = idempotency_from_env({"TOKEN_ENCRYPTION_KEY": KEY.hex()}, TTL=3600)
    assert (idempotency_settings().encryption_keys, idempotency_settings().ttl) == ((KEY,), 3600)
    assert idempotency_from_env({}, TTL=3600) == {"TTL": 3600}
