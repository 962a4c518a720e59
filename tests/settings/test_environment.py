from __future__ import annotations

import base64
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_upstash.settings import environment
from django_upstash.settings.conf import make_settings
from django_upstash.settings.environment import (
    EnvironmentSettings,
    caches_from_env,
    config_from_env,
    session_engine_from_env,
    sessions_from_env,
)
from django_upstash.settings.environment_address import SERVERLESS_NAMES

ROOT = Path(__file__).resolve().parents[2]
NATIVE = {"REDIS_URL": "rediss://default:secret@eu1-x.upstash.io:6379"}
REST = {"UPSTASH_REDIS_REST_URL": "https://eu1-x.upstash.io", "UPSTASH_REDIS_REST_TOKEN": "AXk3ASQg="}
VERCEL = {"KV_REST_API_URL": "https://eu2-y.upstash.io", "KV_REST_API_TOKEN": "BYl4"}
INTEGRATION = {"REDIS_REST_API_URL": "https://eu3-z.upstash.io", "REDIS_REST_API_TOKEN": "CZm5"}
KEY = bytes(range(224, 256))
OTHER_KEY = bytes(reversed(KEY))


def entry(**environ: str) -> dict[str, Any]:
    configured = config_from_env(environ)
    assert list(configured) == ["default"]
    return configured["default"]


@pytest.mark.parametrize("name", ["REDIS_URL", "UPSTASH_REDIS_URL", "KV_URL"])
def test_config_from_env__native(name: str) -> None:
    assert entry(**{name: " rediss://h \n"}) == {"URL": "rediss://h", "SOURCE": name}


@pytest.mark.parametrize(
    ("pair", "source"),
    [(REST, "UPSTASH_REDIS_REST_URL"), (VERCEL, "KV_REST_API_URL"), (INTEGRATION, "REDIS_REST_API_URL")],
)
def test_config_from_env__rest(pair: dict[str, str], source: str) -> None:
    url, token = pair.values()
    assert entry(**pair) == {"URL": url, "TOKEN": token, "SOURCE": source}


@pytest.mark.parametrize(
    ("environ", "source"),
    [
        ({**NATIVE, "UPSTASH_REDIS_URL": "rediss://h"}, "UPSTASH_REDIS_URL"),
        ({**REST, **VERCEL}, "UPSTASH_REDIS_REST_URL"),
        ({**REST, **VERCEL, "UPSTASH_REDIS_REST_URL": " "}, "KV_REST_API_URL"),
        ({**REST, **NATIVE}, "REDIS_URL"),
        ({**REST, **NATIVE, "REDIS_PROTOCOL": "native"}, "REDIS_URL"),
        ({**REST, **NATIVE, "REDIS_PROTOCOL": " REST "}, "UPSTASH_REDIS_REST_URL"),
        ({**REST, **NATIVE, "REDIS_PROTOCOL": ""}, "REDIS_URL"),
        ({**NATIVE, "UPSTASH_REDIS_URL": "https://h", "UPSTASH_REDIS_REST_TOKEN": "t"}, "REDIS_URL"),
        ({**NATIVE, "KV_URL": "rediss://h"}, "REDIS_URL"),
        ({**INTEGRATION, **VERCEL}, "KV_REST_API_URL"),
        *(({**REST, **NATIVE, name: "1"}, "UPSTASH_REDIS_REST_URL") for name in SERVERLESS_NAMES),
        ({**REST, **NATIVE, "VERCEL": "1", "REDIS_PROTOCOL": "native"}, "REDIS_URL"),
        ({**NATIVE, "VERCEL": "1"}, "REDIS_URL"),
        ({**REST, **NATIVE, "VERCEL": " "}, "REDIS_URL"),
    ],
)
def test_config_from_env__precedence(environ: dict[str, str], source: str) -> None:
    assert entry(**environ)["SOURCE"] == source


@pytest.mark.parametrize("name", ["REDIS_URL", "UPSTASH_REDIS_URL"])
@pytest.mark.parametrize("token", ["UPSTASH_REDIS_REST_TOKEN", "KV_REST_API_TOKEN"])
def test_config_from_env__rest_address_under_a_native_name(name: str, token: str) -> None:
    assert entry(**{name: "https://h", token: "t"}) == {"URL": "https://h", "TOKEN": "t", "SOURCE": name}


def test_config_from_env__prefix() -> None:
    environ = {f"STORAGE_{name}": value for name, value in {**NATIVE, **VERCEL}.items()}
    assert config_from_env(environ, prefix="STORAGE_")["default"]["SOURCE"] == "STORAGE_REDIS_URL"
    serverless = config_from_env({**environ, "K_SERVICE": "shop"}, prefix="STORAGE_")["default"]
    assert serverless == {"URL": "https://eu2-y.upstash.io", "TOKEN": "BYl4", "SOURCE": "STORAGE_KV_REST_API_URL"}
    with_password = {"STORAGE_REDIS_URL": "rediss://h", "STORAGE_REDIS_PASSWORD": "own", "REDIS_PASSWORD": "other"}
    assert config_from_env(with_password, prefix="STORAGE_")["default"]["PASSWORD"] == "own"


@pytest.mark.parametrize("names", [VERCEL, NATIVE, {"KV_URL": "rediss://h"}])
def test_config_from_env__says_which_prefix_there_is(names: dict[str, str]) -> None:
    environ = {f"STORAGE_{name}": value for name, value in names.items()}
    with pytest.raises(
        ImproperlyConfigured, match=r'with the prefix STORAGE_: call config_from_env\(prefix="STORAGE_"\)'
    ):
        config_from_env(environ)
    with pytest.raises(ImproperlyConfigured, match="set OTHER_UPSTASH_REDIS_URL or OTHER_REDIS_URL") as raised:
        config_from_env({"CELERY_REDIS_URL": "no address"}, prefix="OTHER_")
    assert "no address" not in str(raised.value)


def test_config_from_env__adds_what_it_is_given() -> None:
    environ = {**NATIVE, "REDIS_CONNECTION_TIMEOUT": "30s"}
    given = config_from_env(environ, TIMEOUT=2, VERIFY_TLS=False)["default"]
    assert (given["TIMEOUT"], given["CONNECT_TIMEOUT"], given["VERIFY_TLS"]) == (2, 30.0, False)
    assert config_from_env({}, default="embedded://", TIMEOUT=2) == {"default": {"URL": "embedded://", "TIMEOUT": 2}}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "rediss://default:s%40cret@h:6379/0",
            {"URL": "rediss://h:6379/0", "USERNAME": "default", "PASSWORD": "s@cret"},
        ),
        ("rediss://:secret@h", {"URL": "rediss://h", "PASSWORD": "secret"}),
        ("rediss://ann@h", {"URL": "rediss://h", "USERNAME": "ann"}),
        ("rediss://:@h?timeout=2", {"URL": "rediss://h?timeout=2"}),
        (
            "unix://ann:secret@/run/redis.sock",
            {"URL": "unix:///run/redis.sock", "USERNAME": "ann", "PASSWORD": "secret"},
        ),
        ("rediss://ann:s@cret@h", {"URL": "rediss://ann:s@cret@h"}),
        ("rediss://ann:s/cret@h", {"URL": "rediss://ann:s/cret@h"}),
    ],
)
def test_config_from_env__keeps_credentials_out_of_the_url(url: str, expected: dict[str, str]) -> None:
    given = entry(REDIS_URL=url)
    assert given == {**expected, "SOURCE": "REDIS_URL"}
    if "@" in given["URL"]:
        with pytest.raises(ImproperlyConfigured, match="ends the address too early"):
            make_settings("default", given)
    else:
        made = make_settings("default", given)
        assert made.user_and_password == make_settings("default", {"URL": url}).user_and_password


def test_config_from_env__default_is_for_an_environment_that_says_nothing() -> None:
    assert config_from_env({}, default="embedded://") == {"default": {"URL": "embedded://"}}
    assert config_from_env({"REDIS_URL": "redis://h"}, default="embedded://")["default"]["URL"] == "redis://h"
    with pytest.raises(ImproperlyConfigured, match="REDIS_PROTOCOL is rest"):
        config_from_env({"REDIS_PROTOCOL": "rest"}, default="embedded://")


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        (
            {},
            "The environment names no Redis: set UPSTASH_REDIS_URL or REDIS_URL or KV_URL, or UPSTASH_REDIS_REST_URL ",
        ),
        ({"REDIS_URL": " "}, "or REDIS_ENABLE=false to run without"),
        ({**REST, "REDIS_PROTOCOL": "native"}, "REDIS_PROTOCOL is native, but .* set UPSTASH_REDIS_URL or REDIS_URL"),
        ({**NATIVE, "REDIS_PROTOCOL": "rest"}, "REDIS_PROTOCOL is rest, but .* UPSTASH_REDIS_REST_URL with UPSTASH_"),
        ({**NATIVE, "REDIS_PROTOCOL": "resp"}, "REDIS_PROTOCOL must be native or rest"),
        ({**REST, "UPSTASH_REDIS_REST_TOKEN": ""}, "needs a token: set UPSTASH_REDIS_REST_TOKEN"),
        ({"KV_REST_API_URL": "https://h"}, "KV_REST_API_URL is a REST address, .* set KV_REST_API_TOKEN"),
        ({"REDIS_URL": "https://h"}, "REDIS_URL is a REST .* set UPSTASH_REDIS_REST_TOKEN or KV_REST_API_TOKEN"),
    ],
)
def test_config_from_env__says_what_is_missing(environ: dict[str, str], sentence: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=sentence):
        config_from_env(environ)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("rediss://h", "secret"),
        ("rediss://ann@h", "secret"),
        ("rediss://:@h", "secret"),
        ("unix:///run/redis.sock", "secret"),
        ("rediss://ann:own@h", "own"),
        ("rediss://:own@h", "own"),
        ("embedded://", None),
    ],
)
def test_redis_password__beside_a_url_without_one(url: str, expected: str | None) -> None:
    given = entry(REDIS_URL=url, REDIS_PASSWORD=" secret\n")
    made = make_settings("default", {**given, "ALLOW_EMBEDDED": True})
    assert made.user_and_password[1] == expected


def test_redis_password__is_not_for_rest() -> None:
    assert "PASSWORD" not in entry(**REST, REDIS_PASSWORD="secret")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"REDIS_MAX_POOL_SIZE": "25"}, {"MAX_CONNECTIONS": 25}),
        ({"REDIS_CONNECTION_TIMEOUT": "500ms"}, {"CONNECT_TIMEOUT": 0.5}),
        ({"REDIS_CONNECTION_TIMEOUT": "5"}, {"CONNECT_TIMEOUT": 5.0}),
        ({"REDIS_CONNECTION_TIMEOUT": "30s"}, {"CONNECT_TIMEOUT": 30.0, "TIMEOUT": 30.0}),
        ({"REDIS_MAX_POOL_SIZE": "", "REDIS_CONNECTION_TIMEOUT": " "}, {}),
    ],
)
def test_config_from_env__limits(environ: dict[str, str], expected: dict[str, Any]) -> None:
    given = entry(**NATIVE, **environ)
    address = {"URL": "rediss://eu1-x.upstash.io:6379", "USERNAME": "default", "PASSWORD": "secret"}
    assert given == {**address, "SOURCE": "REDIS_URL", **expected}
    make_settings("default", given)


def test_environment_settings__unset_and_empty_are_the_defaults() -> None:
    names = [variable for variable, _ in environment._VARIABLES.values()]
    assert EnvironmentSettings.from_env({}) == EnvironmentSettings()
    assert EnvironmentSettings.from_env(dict.fromkeys(names, " \n")) == EnvironmentSettings()


def test_environment_settings__reads_every_name() -> None:
    environ = {
        "REDIS_ENABLE": "no",
        "SESSION_STORAGE": "Memory",
        "SESSION_TTL": "14d",
        "TOKEN_ENCRYPTION_KEY": base64.b64encode(KEY).decode(),
        "RATE_LIMIT_ENABLED": "FALSE",
        "RATE_LIMIT_REQUESTS_PER_MINUTE": "60",
        "RATE_LIMIT_BURST_SIZE": " 10 ",
        "CIRCUIT_BREAKER_ENABLED": "off",
        "CIRCUIT_BREAKER_FAILURE_THRESHOLD": "5",
        "CIRCUIT_BREAKER_SUCCESS_THRESHOLD": "2",
        "CIRCUIT_BREAKER_TIMEOUT": "30s",
    }
    assert EnvironmentSettings.from_env(environ) == EnvironmentSettings(
        redis_enabled=False,
        session_storage="memory",
        session_ttl=1_209_600,
        token_encryption_keys=(KEY,),
        rate_limit_enabled=False,
        rate_limit_requests_per_minute=60,
        rate_limit_burst_size=10,
        circuit_breaker_enabled=False,
        circuit_breaker_failure_threshold=5,
        circuit_breaker_success_threshold=2,
        circuit_breaker_timeout=30.0,
    )


def test_value__at_its_limits() -> None:
    for text in ("1", "999999999"):
        assert EnvironmentSettings.from_env({"RATE_LIMIT_BURST_SIZE": text}).rate_limit_burst_size == int(text)
    for text in ("0", "1000000000", "9" * 5000):
        with pytest.raises(
            ImproperlyConfigured, match="RATE_LIMIT_BURST_SIZE must be a whole number from 1 to 999999999"
        ):
            EnvironmentSettings.from_env({"RATE_LIMIT_BURST_SIZE": text})
    assert EnvironmentSettings.from_env({"SESSION_TTL": "36500d"}).session_ttl == 36500 * 86_400


@pytest.mark.parametrize("text", ["true", "TRUE", "1", "yes", "On", " true\n"])
def test_boolean__true(text: str) -> None:
    assert EnvironmentSettings.from_env({"RATE_LIMIT_ENABLED": text}).rate_limit_enabled


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1500ms", 1.5), ("5", 5), ("5s", 5), ("2.5 s", 2.5), ("3M", 180), ("2h", 7200), ("1d", 86_400)],
)
def test_duration__units(text: str, seconds: float) -> None:
    assert EnvironmentSettings.from_env({"CIRCUIT_BREAKER_TIMEOUT": text}).circuit_breaker_timeout == seconds


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(KEY).decode(),
        base64.urlsafe_b64encode(KEY).decode(),
        base64.urlsafe_b64encode(KEY).decode().rstrip("="),
        KEY.hex(),
        KEY.hex().upper(),
    ],
)
def test_token_encryption_key__spellings(text: str) -> None:
    settings = EnvironmentSettings.from_env({"TOKEN_ENCRYPTION_KEY": text})
    assert settings.token_encryption_key == KEY
    assert repr(KEY) not in repr(settings)


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("REDIS_ENABLE", ["maybe", "2", "truee"]),
        ("REDIS_MAX_POOL_SIZE", ["0", "-1", "1.5", "ten", "1e3", "٣", "9" * 5000]),
        ("REDIS_CONNECTION_TIMEOUT", ["0", "-5s", "5 sec", "s", "nan", "inf", "25h", "1" * 400]),
        ("SESSION_STORAGE", ["disk"]),
        ("SESSION_TTL", ["0", "500ms", "1.5s", "2w", "40000d"]),
        ("TOKEN_ENCRYPTION_KEY", ["short", "z" * 64, "a" * 32, "é" * 32, base64.b64encode(b"x" * 31).decode()]),
        ("RATE_LIMIT_ENABLED", ["enabled"]),
        ("RATE_LIMIT_REQUESTS_PER_MINUTE", ["0", "60/m"]),
        ("RATE_LIMIT_BURST_SIZE", ["-1"]),
        ("CIRCUIT_BREAKER_ENABLED", ["y e s"]),
        ("CIRCUIT_BREAKER_FAILURE_THRESHOLD", ["0"]),
        ("CIRCUIT_BREAKER_SUCCESS_THRESHOLD", ["none"]),
        ("CIRCUIT_BREAKER_TIMEOUT", ["0s", "2d"]),
    ],
)
def test_value__refused_by_name_and_not_shown(name: str, texts: list[str]) -> None:
    for text in texts:
        with pytest.raises(ImproperlyConfigured) as raised:
            config_from_env({**NATIVE, name: text})
        sentence = str(raised.value)
        assert sentence.startswith(f"{name} must be ")
        assert text not in sentence.removeprefix(name) or len(text) == 1
        assert raised.value.__suppress_context__  # a traceback would show the value as well


def test_caches_from_env__both_on_redis() -> None:
    backend = "django_upstash.cache.UpstashCache"
    assert caches_from_env(NATIVE, KEY_PREFIX="shop", TIMEOUT=600) == {
        "default": {"BACKEND": backend, "LOCATION": "default", "KEY_PREFIX": "shop", "TIMEOUT": 600},
        "sessions": {"BACKEND": backend, "LOCATION": "default", "KEY_PREFIX": "shop-sessions", "TIMEOUT": 600},
    }
    assert caches_from_env(NATIVE)["sessions"]["KEY_PREFIX"] == "sessions"


def test_caches_from_env__sessions_in_memory() -> None:
    made = caches_from_env({**NATIVE, "SESSION_STORAGE": "memory"}, OPTIONS={"SIGN": True})
    assert made["default"]["BACKEND"] == "django_upstash.cache.UpstashCache"
    assert made["sessions"] == {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "LOCATION": "sessions",
        "KEY_PREFIX": "sessions",
    }


def test_redis_enable_false__everything_is_local_and_one_warning_says_so(caplog: pytest.LogCaptureFixture) -> None:
    environment._warn_that_redis_is_off.cache_clear()
    environ = {**NATIVE, "REDIS_ENABLE": "false"}
    with caplog.at_level(logging.WARNING, "django_upstash"):
        assert config_from_env(environ) == {}
        made = caches_from_env(environ, OPTIONS={"SIGN": True})
        caches_from_env(environ)

    assert {alias: entry["BACKEND"].rpartition(".")[2] for alias, entry in made.items()} == {
        "default": "LocMemCache",
        "sessions": "LocMemCache",
    }
    assert made["default"]["LOCATION"] != made["sessions"]["LOCATION"]
    assert "OPTIONS" not in made["default"]
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["REDIS_ENABLE is false"]


def test_session_engine_from_env() -> None:
    local = "django.contrib.sessions.backends.cache"
    assert session_engine_from_env(NATIVE) == "django_upstash.sessions"
    assert session_engine_from_env({**NATIVE, "SESSION_STORAGE": "memory"}) == local
    assert session_engine_from_env({**NATIVE, "REDIS_ENABLE": "false"}) == local
    with pytest.raises(ImproperlyConfigured, match="SESSION_STORAGE must be redis or memory"):
        session_engine_from_env({**NATIVE, "SESSION_STORAGE": "cookie"})


def test_sessions_from_env__has_the_keys_of_a_rotation() -> None:
    environ = {**NATIVE, "TOKEN_ENCRYPTION_KEY": f"{OTHER_KEY.hex()}, {KEY.hex()}"}
    assert sessions_from_env(environ, PREFIX="shop") == {"PREFIX": "shop", "ENCRYPTION_KEYS": [OTHER_KEY, KEY]}
    assert sessions_from_env(NATIVE) == {"ENCRYPTION_KEYS": []}


SITE = """
import sys
import django
from django.conf import settings
from django_upstash.settings.environment import caches_from_env, config_from_env, session_engine_from_env

settings.configure(
    INSTALLED_APPS=["django.contrib.sessions", "django_upstash"],
    SECRET_KEY="x",
    UPSTASH=config_from_env(),
    CACHES=caches_from_env(KEY_PREFIX="shop"),
    SESSION_ENGINE=session_engine_from_env(),
    SESSION_CACHE_ALIAS="sessions",
)
django.setup()
from importlib import import_module
from django.core.cache import caches
from django.core.checks import run_checks

session = import_module(settings.SESSION_ENGINE).SessionStore()
session["cart"] = 3
session.save()
caches["default"].set("page", 1)
caches["default"].clear()
print(import_module(settings.SESSION_ENGINE).SessionStore(session.session_key)["cart"], run_checks())
print(sorted({"redis", "upstash_redis", "django_redis"}.intersection(sys.modules)))
"""


def test_redis_enable_false__a_site_runs_without_redis() -> None:
    environ = {**os.environ, "REDIS_ENABLE": "false", "REDIS_URL": ""}
    ran = subprocess.run(
        [sys.executable, "-c", SITE], capture_output=True, text=True, cwd=ROOT, env=environ, check=False
    )
    assert ran.stdout.splitlines() == ["3 []", "[]"]
    assert ran.stderr.count("REDIS_ENABLE is false") == len(ran.stderr.splitlines()) == 1
