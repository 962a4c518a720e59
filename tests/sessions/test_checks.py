"""The system checks of the sessions' settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from django_upstash.sessions.checks import MIDDLEWARE, check_sessions
from django_upstash.sessions.session_keys import keyspace
from django_upstash.sessions.settings import session_settings
from django_upstash.settings import conf

SECRET = "0123456789abcdef"
PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "sessions.md"
ANONYMOUS = {"ON_FAILURE": "anonymous"}


@pytest.fixture(autouse=True)
def _site(settings: Any) -> None:
    settings.SESSION_ENGINE = "django_upstash.sessions"
    settings.UPSTASH = {"default": {"URL": "redis://localhost"}}
    settings.CACHES = {"default": {"BACKEND": conf.CACHE_BACKEND, "LOCATION": "default", "KEY_PREFIX": "shop"}}


def ids() -> list[str]:
    return [str(found.id).removeprefix("django_upstash.") for found in check_sessions()]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"ALIAS": "default", "PREFIX": "shop-session", "MERGE": True, "INDEX": True, "MAX_PER_USER": 1},
        {"RENEW_AFTER": 300, "ABSOLUTE_TIMEOUT": 3600.5, "IDLE_TIMEOUT": None, "ENCRYPTION_KEYS": []},
        {"ENCRYPTION_KEYS": [b"k" * 32, "ab" * 32]},
        {"MOVE_FROM": "django.contrib.sessions.backends.db"},
        ANONYMOUS,
    ],
)
def test_settings__that_are_right(settings: Any, given: dict[str, Any]) -> None:
    settings.UPSTASH_SESSIONS = given
    assert ids() == []
    assert session_settings().alias == "default"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (["ALIAS"], "E101"),
        (None, "E101"),
        ({"TTL": 5}, "E102"),
        ({"alias": "default"}, "E102"),
        ({"ALIAS": ""}, "E103"),
        ({"PREFIX": ""}, "E103"),
        ({"PREFIX": "a*b"}, "E103"),
        ({"ON_FAILURE": "ignore"}, "E104"),
        ({"ON_FAILURE": []}, "E104"),
        ({"RENEW_AFTER": 0}, "E105"),
        ({"RENEW_AFTER": True}, "E105"),
        ({"RENEW_AFTER": None}, "E105"),
        ({"RENEW_AFTER": float("nan")}, "E105"),
        ({"IDLE_TIMEOUT": 0.5}, "E105"),
        ({"ABSOLUTE_TIMEOUT": "1h"}, "E105"),
        ({"MERGE": 1}, "E106"),
        ({"INDEX": "yes"}, "E106"),
        ({"MAX_PER_USER": 0}, "E106"),
        ({"MAX_PER_USER": True}, "E106"),
        ({"MOVE_FROM": "db"}, "E107"),
        ({"MOVE_FROM": 1}, "E107"),
        ({"ENCRYPTION_KEYS": SECRET}, "E108"),
        ({"ENCRYPTION_KEYS": [SECRET]}, "E108"),
        ({"ENCRYPTION_KEYS": [None]}, "E108"),
        ({"ALIAS": "other"}, "E109"),
        ({"PREFIX": "shop:1"}, "E110"),
        ({"MOVE_FROM": "django_upstash.sessions"}, "E112"),
        ({"MOVE_FROM": "no.such.engine"}, "E112"),
        ({"IDLE_TIMEOUT": 600}, "E113"),
        ({"MOVE_FROM": "django.contrib.sessions.backends.db", "MAX_PER_USER": 1}, "W101"),
    ],
)
def test_settings__that_are_wrong(settings: Any, given: Any, found: str) -> None:
    settings.UPSTASH_SESSIONS = given
    assert ids() == [found]
    (message,) = check_sessions()
    assert message.hint
    assert SECRET not in f"{message.msg} {message.hint}"
    if found < "E109":
        with pytest.raises(ImproperlyConfigured, match="UPSTASH_SESSIONS"):
            keyspace()


def test_settings__hint_at_what_was_meant(settings: Any) -> None:
    settings.UPSTASH_SESSIONS = {"idle_timout": 5}
    assert str(check_sessions()[0].hint).startswith("Did you mean IDLE_TIMEOUT?")


def test_cryptography__that_is_missing(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cryptography", None)
    settings.UPSTASH_SESSIONS = {"ENCRYPTION_KEYS": ["ab" * 32]}
    assert ids() == ["E111"]


def test_anonymous__with_djangos_middleware_that_saves_every_request(settings: Any) -> None:
    settings.UPSTASH_SESSIONS = ANONYMOUS
    settings.SESSION_SAVE_EVERY_REQUEST = True
    assert ids() == ["E114"]
    settings.MIDDLEWARE = [MIDDLEWARE]
    assert ids() == []


def test_idle_timeout__with_saving_every_request(settings: Any) -> None:
    settings.UPSTASH_SESSIONS = {"IDLE_TIMEOUT": 600}
    settings.SESSION_SAVE_EVERY_REQUEST = True
    assert ids() == []


def test_other_engine__is_only_asked_for_the_form(settings: Any) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.db"
    settings.UPSTASH_SESSIONS = {"ALIAS": "other"}
    assert ids() == []


def test_checks__are_registered(settings: Any) -> None:
    settings.UPSTASH_SESSIONS = {"TTL": 5}
    assert [found.id for found in run_checks(tags=["django_upstash"])] == ["django_upstash.E102"]


def test_page__has_every_id() -> None:
    package = Path(check_sessions.__code__.co_filename).parent
    sources = [package / "settings.py", package / "checks.py"]
    raised = {found for path in sources for found in re.findall(r'"([EW]1\d\d)"', path.read_text(encoding="utf-8"))}
    assert set(re.findall(r"^\| `([EW]\d{3})`", PAGE.read_text(encoding="utf-8"), re.MULTILINE)) == raised


def test_repr__shows_no_key(settings: Any) -> None:
    settings.UPSTASH_SESSIONS = {"ENCRYPTION_KEYS": ["ab" * 32]}
    assert "ab" * 4 not in repr(session_settings())
    assert repr(b"\xab" * 4)[2:-1] not in repr(session_settings())
