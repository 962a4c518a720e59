from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from django.core import checks as django_checks
from django.core import mail
from django.core.checks import CheckMessage
from django.test import override_settings

from django_upstash.cache import checks as cache_checks
from django_upstash.ratelimit import FixedWindow
from django_upstash.ratelimit import checks as ratelimit_checks
from django_upstash.settings import checks
from tests.settings.test_breaker import MISTAKES as BREAKER_CASES

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "django_upstash"
BACKEND = "django_upstash.cache.UpstashCache"
URL = "rediss://:secret@redis.example.com"
UPSTASH_URL = "rediss://default:secret@eu1-x.upstash.io:6379"
REST = {"URL": "https://eu1-x.upstash.io", "TOKEN": "AXk3ASQg="}
DEFAULT = {"default": {"URL": UPSTASH_URL}}


def cache(location: Any = "default", **entry: Any) -> dict[str, Any]:
    return {"BACKEND": BACKEND, "LOCATION": location, "KEY_PREFIX": "shop", **entry}


def options(**given: Any) -> dict[str, Any]:
    return {"default": cache(OPTIONS=given)}


def caches(**given: Iterable[Any]) -> list[dict[str, Any]]:
    return [cache(**{key: value}) for key, values in given.items() for value in values]


def throttled(**rates: str | None) -> dict[str, Any]:
    classes = ["django_upstash.throttling.UserRateThrottle"]
    return {"REST_FRAMEWORK": {"DEFAULT_THROTTLE_CLASSES": classes, "DEFAULT_THROTTLE_RATES": rates}}


# id, UPSTASH, CACHES: each gives this one message and no other.
CONNECTION_CASES: list[tuple[str, Any]] = [
    ("E001", ["rediss://h"]),
    ("E001", {None: {"URL": URL}}),
    ("E001", {7: {"URL": URL}}),
    ("E002", {"default": URL}),
    ("E003", {"default": {"URL": URL, "TIMEUOT": 1}}),
    ("E004", {"default": {}}),
    ("E005", {"default": {"URL": f"'{URL}'"}}),
    ("E006", {"default": {"URL": "redis.example.com:6379"}}),
    ("E007", {"default": {"URL": "rediss://:a/b@redis.example.com"}}),
    ("E008", {"default": {"URL": f"{URL}:66666"}}),
    ("E009", {"default": {"URL": "rediss://:secret@"}}),
    ("E010", {"default": {"URL": "redis://:secret@eu1-x.upstash.io:6379"}}),
    ("E011", {"default": {"URL": "redis://:secret@redis.example.com"}}),
    ("E011", {"default": {**REST, "URL": "http://redis.example.com"}}),
    ("E012", {"default": {"URL": "rediss://:secret@eu1-x.upstash.io:443"}}),
    ("E012", {"default": {**REST, "URL": "https://eu1-x.upstash.io:6379"}}),
    ("E013", {"default": {"URL": f"{UPSTASH_URL}/1"}}),
    ("E014", {"default": {"URL": f"{URL}?ssl_cert_reqs=none"}}),
    ("E015", {"default": {"URL": f"{URL}?username=ann"}}),
    ("E016", {"default": {**REST, "URL": "https://eu1-x.upstash.io/get"}}),
    ("E017", {"default": {"URL": REST["URL"]}}),
    ("E018", {"default": {**REST, "TOKEN": "Bearer AXk3ASQg="}}),
    ("E019", {"default": {"URL": URL, "TOKEN": "AXk3ASQg="}}),
    ("E020", {"default": {**REST, "PASSWORD": "secret"}}),
    ("E021", {"default": {"URL": URL, "TIMEOUT": None}}),
    ("E022", {"default": {"URL": URL, "MAX_CONNECTIONS": 0}}),
    ("E023", {"default": {"URL": URL, "VERIFY_TLS": "no"}}),
    ("E024", {"default": {"URL": URL, "PASSWORD": 12345}}),
    ("E025", {"default": {"URL": URL, "CA_CERTS": "/nowhere/ca.pem"}}),
    ("E026", {"default": {"URL": URL, "PASSWORD": "another"}}),
    ("W001", {"default": {"URL": f"{URL}?health_check_interval=30"}}),
]
CACHE_CASES: list[tuple[str, Any]] = [
    ("E040", {"default": cache("")}),
    ("E040", {"default": {"BACKEND": BACKEND, "KEY_PREFIX": "shop"}}),
    ("E041", {"default": cache("sessions")}),
    ("E042", {"default": cache([URL, "rediss://replica.example.com"])}),
    ("E042", {"default": cache({URL, "rediss://replica.example.com"})}),
    ("E017", {"default": cache("https://eu1-x.upstash.io")}),
    ("E014", {"default": cache(URL, OPTIONS={"CONNECTION_POOL_KWARGS": {"ssl_cert_reqs": None}})}),
    ("E044", options(SENTINELS=[("h", 26379)])),
    ("E044", options(PASSWORD="secret")),
    ("E044", options(CLIENT_CLASS="django_redis.client.ShardClient")),
    ("E044", options(CLIENT_CLASS="django_redis.client.HerdClient")),
    ("E044", {"default": cache(OPTIONS=["SIGN"])}),
    ("E044", {"default": cache(URL, OPTIONS=["SIGN"])}),
    *[("E045", {"default": entry}) for entry in caches(TIMEOUT=(-1, "5m", True, float("inf"), []))],
    *[("E045", {"default": entry}) for entry in caches(VERSION=(None, 1.5, True))],
    *[("E045", {"default": entry}) for entry in caches(KEY_PREFIX=(None, b"shop", 7))],
    *[("E045", {"default": entry}) for entry in caches(OPTIONS=[{"PICKLE_VERSION": n} for n in ("new", 99, -2, True)])],
    ("E046", options(SIGN="False")),
    ("E046", options(IGNORE_EXCEPTIONS=1)),
    ("E047", options(SERIALIZER="json")),
    ("E047", options(SERIALIZER=".json.JSONSerializer")),
    ("E047", options(COMPRESSOR="not_installed_anywhere.Compressor")),
    ("E047", options(COMPRESSOR=None)),
    ("E047", {"default": cache(KEY_FUNCTION="make_key")}),
    *[("E048", options(MAX_VALUE_SIZE=size)) for size in ("1 MB", 0, True, 1.5)],
    ("E048", options(MAX_KEY_LENGTH=63)),
    ("E048", options(COMPRESS_FROM=-1, COMPRESSOR="django_redis.compressors.zlib.ZlibCompressor")),
    *[("E049", options(ON_FAILURE=policy)) for policy in ("fallback", True)],
    ("E049", options(ON_OVERSIZE="drop", MAX_VALUE_SIZE=1)),
    *[("E050", options(NEAR_CACHE=near)) for near in (True, {"TTl": 1}, {"TTL": 0}, {"TTL": 3601}, {"MAX_ENTRIES": 0})],
    *[("E050", options(NEAR_CACHE=near)) for near in ({1: 1}, {"TTL": "2"}, {"TTL": float("nan")}, {"MISSES": 1})],
    ("W011", options(LOCAL={})),
    ("W011", options(ON_FAILURE="local")),
    ("E051", options(COMPRESS_FROM=1024)),
    ("E051", options(ON_OVERSIZE="skip")),
    ("E051", options(IGNORE_EXCEPTIONS=True, ON_FAILURE="raise")),
    ("W001", {"default": cache(f"{URL}?retry_on_timeout=1")}),
    ("W002", options(SIGNED=True)),
    ("W002", options(CONNECTION_POOL_CLASS="redis.BlockingConnectionPool")),
    ("W002", options(TIMEOUT=300)),
    ("W002", options(MAX_CONNECTIONS=10)),
    ("W002", {"default": cache(URL, OPTIONS={"CONNECTION_POOL_KWARGS": {"retry_on_timeout": True}})}),
    ("W004", {"default": cache(), "other": cache()}),
    ("W004", {"default": cache(URL), "other": cache(f"{URL}:6379/0")}),
    ("W004", {"default": cache("unix:///run/a.sock"), "other": cache("unix:///run/a.sock?db=0")}),
    ("W004", {"default": cache(), "other": cache(KEY_PREFIX="shop:1:eu")}),
    ("W004", {"default": cache(KEY_PREFIX="shop:1:eu"), "other": cache()}),
    ("W004", {"default": cache(VERSION="v2"), "other": cache(KEY_PREFIX="shop:v2")}),
    ("W004", {"default": cache(KEY_PREFIX=""), "other": cache(KEY_PREFIX="", VERSION=2)}),
    ("W004", {"default": cache(UPSTASH_URL), "other": cache(REST["URL"], OPTIONS={"TOKEN": REST["TOKEN"]})}),
]
# id, UPSTASH_RATELIMIT, other settings.
RATELIMIT_CASES: list[tuple[str, Any, dict[str, Any]]] = [
    ("E201", ["1000/day"], {}),
    ("E202", {"ON_FAIL": "open"}, {}),
    ("E203", {"ENABLED": "yes"}, {}),
    ("E203", {"X_HEADERS": 1}, {}),
    ("E204", {"ON_FAILURE": "ajar"}, {}),
    ("E204", {"ON_REFUSAL": "ajar"}, {}),
    *[("E205", {"TIMEOUT": value}, {}) for value in (0, -1, "1", True, 61, float("nan"))],
    *[("E206", {"REMEMBERED": value}, {}) for value in (0, 1.5, None, True)],
    ("E206", {"REQUESTS_PER_MINUTE": 0}, {}),
    ("E206", {"REQUESTS_PER_MINUTE": 60, "BURST_SIZE": "10"}, {}),
    *[("E214", {"CLIENT_IP_HEADER": value}, {}) for value in ("", "HTTP_X_REAL_IP", "X Real", 1, "é", "X" * 65)],
    *[("E207", {"TRUSTED_PROXIES": value}, {}) for value in ("10.0.0.0/8", ["proxy"], [None], ["10.0.0.0/40"])],
    *[("E208", {"NUM_PROXIES": value}, {}) for value in (-1, "1", True)],
    *[("E209", {"POLICIES": value}, {}) for value in ("60/min", [60], ["many"], ["1/month"])],
    *[("E210", {"IDENTITY": value}, {}) for value in ("users", 7, "shop.limits.")],
    *[("E211", {"EXEMPT_PATHS": value}, {}) for value in ("/health/", ["health/"], [7])],
    ("E212", {}, throttled(user="many")),
    ("E212", {}, throttled(user="1000/month")),
    ("W201", {"BURST_SIZE": 5}, {}),
    ("W202", {}, {"MIDDLEWARE": [ratelimit_checks.MIDDLEWARE]}),
    ("W203", {"TRUSTED_PROXIES": ["10.0.0.0/8"], "NUM_PROXIES": 1}, {}),
]
DEPLOY_CASES: list[tuple[str, Any, Any]] = [
    ("W003", DEFAULT, options(SIGN=False)),
    ("W003", DEFAULT, options(SIGN=False, SERIALIZER="django_redis.serializers.pickle.PickleSerializer")),
    ("W005", DEFAULT, {"default": cache(KEY_PREFIX="")}),
    ("W006", {"default": {"URL": URL, "VERIFY_TLS": False}}, {}),
    ("W006", {}, {"default": cache(URL, OPTIONS={"VERIFY_TLS": False})}),
    ("W007", {"default": {"URL": "redis://redis.example.com", "ALLOW_PLAINTEXT": True}}, {}),
    ("W008", {"default": {"URL": "embedded://", "ALLOW_EMBEDDED": True}}, {}),
]
TWO_DATABASES: dict[str, Any] = {**DEFAULT, "rest": REST, "state": {"URL": "rediss://:secret@state.example.com"}}
# Settings of features that keep state, and what they are called.
STATE_CASES: list[tuple[dict[str, Any], str]] = [
    ({"SESSION_ENGINE": "django_upstash.sessions"}, "sessions"),
    ({"SESSION_ENGINE": "django_upstash.sessions", "UPSTASH_SESSIONS": {"ALIAS": "rest"}}, "sessions"),
    ({"UPSTASH_IDEMPOTENCY": {}}, "idempotency keys"),
    ({"UPSTASH_TENANTS": {}}, "tenants"),
    ({"UPSTASH_RATELIMIT": {}}, "rate limits"),
    ({"UPSTASH_BREAKER": {"ALIAS": "state", "BREAKERS": {"stripe": {"ALIAS": "default"}}}}, "breakers"),
    ({"TASKS": {"default": {"BACKEND": "django_upstash.tasks.UpstashBackend"}}}, "tasks"),
]
ELSEWHERE_CASES: list[dict[str, Any]] = [
    {},
    {"SESSION_ENGINE": "django_upstash.sessions", "UPSTASH_SESSIONS": {"ALIAS": "state"}},
    {"UPSTASH_IDEMPOTENCY": {"ALIAS": "state"}, "UPSTASH_TENANTS": {"ALIAS": "state"}},
    {"UPSTASH_BREAKER": {"ALIAS": "state", "BREAKERS": {"stripe": {"FAILURE_THRESHOLD": 3}}}},
    {"TASKS": {"default": {"BACKEND": "django_upstash.tasks.UpstashBackend", "OPTIONS": {"ALIAS": "state"}}}},
    {"TASKS": {"default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"}}},
]
SOUND_CACHES: list[Any] = [
    {"default": cache()},
    {"default": cache(URL), "other": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
    {"default": cache(TIMEOUT=None, VERSION=2), "other": cache(KEY_PREFIX="shop-sessions", TIMEOUT="600")},
    {"default": cache(VERSION="v2"), "other": cache(KEY_PREFIX="shop:v1")},
    {"default": cache(), "other": cache(KEY_PREFIX="shop:eu"), "third": cache(KEY_PREFIX="shop2")},
    {"default": cache(), "other": cache("rediss://another.example.com")},
    {"default": cache("redis://localhost/1"), "other": cache("redis://localhost/2")},
    {"default": cache("redis://localhost:7000"), "other": cache("redis://localhost:7001")},
    {"default": cache("unix:///run/a.sock"), "other": cache("unix:///run/b.sock")},
    {"default": cache(KEY_FUNCTION=str.format), "other": cache()},
    {"default": cache(), "other": cache(KEY_FUNCTION=str.format, KEY_PREFIX="")},
    {"default": cache(KEY_FUNCTION=str.format), "other": cache(KEY_FUNCTION="tests.settings.test_checks.cache")},
    options(SERIALIZER=dict, COMPRESSOR=dict, PICKLE_VERSION="5"),
    options(SIGN=True, SERIALIZER="django_redis.serializers.json.JSONSerializer", MAX_ENTRIES=10, PICKLE_VERSION=-1),
    options(SIGN=False, SERIALIZER="django_redis.serializers.json.JSONSerializer", IGNORE_EXCEPTIONS=True),
    options(ON_FAILURE="memory", IGNORE_EXCEPTIONS=True, NEAR_CACHE={}, MAX_VALUE_SIZE=1, ON_OVERSIZE="skip"),
    options(ON_FAILURE=None, NEAR_CACHE={"MAX_ENTRIES": 1, "TTL": 3600, "MISSES": True}, MAX_KEY_LENGTH=64),
    options(
        COMPRESSOR="django_redis.compressors.zlib.ZlibCompressor",
        COMPRESS_FROM=0,
        CLIENT_CLASS="django_upstash.cache.client.UpstashClient",
    ),
]


def ids(messages: list[CheckMessage]) -> list[str]:
    return [str(message.id).removeprefix("django_upstash.") for message in messages]


def run(upstash: Any, caches: Any, *, deploy: bool = False) -> list[CheckMessage]:
    """Run what ``manage.py check`` runs of this package."""
    with override_settings(UPSTASH=upstash, CACHES=caches):
        return django_checks.run_checks(tags=[checks.TAG], include_deployment_checks=deploy)


@pytest.mark.parametrize(("expected", "upstash"), CONNECTION_CASES)
def test_check_connections__finds(expected: str, upstash: Any) -> None:
    found = run(upstash, {})
    assert ids(found) == [expected]
    assert found[0].level == (django_checks.WARNING if expected[0] == "W" else django_checks.ERROR)
    assert found[0].hint


@pytest.mark.parametrize(("expected", "caches"), CACHE_CASES)
def test_check_caches__finds(expected: str, caches: Any) -> None:
    found = run(DEFAULT, caches)
    assert ids(found) == [expected]
    assert found[0].hint


@pytest.mark.parametrize(("expected", "given", "others"), RATELIMIT_CASES)
def test_check_ratelimit__finds(expected: str, given: Any, others: dict[str, Any]) -> None:
    with override_settings(UPSTASH_RATELIMIT=given, **others):
        found = run({}, {})
    assert ids(found) == [expected]
    assert found[0].level == (django_checks.WARNING if expected[0] == "W" else django_checks.ERROR)
    assert found[0].hint


def test_check_ratelimit__sound() -> None:
    given = {
        "ENABLED": True,
        "POLICIES": ["60/min", FixedWindow("10/5m", scope="other")],
        "TRUSTED_PROXIES": ["10.0.0.0/8", "192.0.2.1", "fd00::/8", "unix"],
        "IDENTITY": "shop.limits.api_key",
        "EXEMPT_PATHS": ("/health/",),
        "TIMEOUT": 1,
    }
    with override_settings(UPSTASH_RATELIMIT=given, **throttled(user="10/5m", anon=None)):
        assert run({}, {}) == []


@pytest.mark.parametrize(("others", "feature"), STATE_CASES)
def test_check_deployment__finds_state_beside_a_cache(others: dict[str, Any], feature: str) -> None:
    with override_settings(UPSTASH=TWO_DATABASES, CACHES={"default": cache()}, **others):
        (found,) = cache_checks.check_cache_deployment()
    assert (found.id, found.level) == ("django_upstash.W009", django_checks.WARNING)
    assert found.msg.startswith(f"CACHES['default'] shares a database with {feature}:")
    assert "second database" in str(found.hint)


@pytest.mark.parametrize("others", ELSEWHERE_CASES)
def test_check_deployment__finds_no_state_on_another_database(others: dict[str, Any]) -> None:
    with override_settings(UPSTASH=TWO_DATABASES, CACHES={"default": cache()}, **others):
        assert cache_checks.check_cache_deployment() == []


@pytest.mark.parametrize(("expected", "upstash", "caches"), DEPLOY_CASES)
def test_check_deployment__finds(expected: str, upstash: Any, caches: Any) -> None:
    assert run(upstash, caches) == []
    found = run(upstash, caches, deploy=True)
    assert ids(found) == [expected]
    assert found[0].hint


@pytest.mark.parametrize("caches", SOUND_CACHES)
def test_check_caches__sound(caches: Any) -> None:
    assert run(DEFAULT, caches, deploy=True) == []


@pytest.mark.parametrize("caches", [{}, {"default": cache("embedded://")}])
def test_embedded__refused_outside_development(caches: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    upstash = {} if caches else {"default": {"URL": "embedded://"}}
    assert ids(run(upstash, caches)) == []
    for name in ("PYTEST_CURRENT_TEST", "PYTEST_VERSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delattr(mail, "outbox")

    assert ids(run(upstash, caches)) == ["E027"]
    assert ids(run(DEFAULT, {"default": cache(URL)})) == []
    assert ids(run({"default": {"URL": "embedded://", "ALLOW_EMBEDDED": True}}, {})) == []
    with override_settings(DEBUG=True):
        assert ids(run(upstash, caches)) == []


@pytest.mark.parametrize("url", ["redis://localhost", "unix:///run/a.sock"])
def test_check_deployment__switches_without_meaning_for_the_url(url: str) -> None:
    assert run({"default": {"URL": url, "VERIFY_TLS": False, "ALLOW_PLAINTEXT": True}}, {}, deploy=True) == []
    assert run({"default": {"URL": URL, "ALLOW_PLAINTEXT": True}}, {}, deploy=True) == []


@pytest.mark.parametrize("aliases", ["ab", "ba"])
def test_check_caches__one_is_wrong_beside_another(aliases: str) -> None:
    assert ids(run(DEFAULT, dict(zip(aliases, (cache("sessions"), cache()), strict=True)))) == ["E041"]


def test_check_deployment__says_nothing_twice() -> None:
    assert ids(run({"default": {"URL": "rediss://"}}, {"default": cache()}, deploy=True)) == ["E009"]
    assert ids(run(DEFAULT, {"default": cache("sessions")}, deploy=True)) == ["E041"]
    assert ids(run([], {"default": cache()}, deploy=True)) == ["E001"]


def test_check_caches__embedded_needs_no_prefix() -> None:
    upstash = {"default": {"URL": "embedded://", "ALLOW_EMBEDDED": True}}
    assert ids(run(upstash, {"default": cache(KEY_PREFIX="")}, deploy=True)) == ["W008"]


def test_query_without_effect__shows_names_but_no_piece_of_a_password() -> None:
    (message,) = run({"default": {"URL": "rediss://h?Pa55word=1"}}, {})
    assert "Pa55word" not in str(message)
    (message,) = run({"default": {"URL": "rediss://h?protocol=3"}}, {})
    assert " has protocol in its query" in str(message)


def test_option_hint__suggests_the_one_meant() -> None:
    assert [message.hint for message in run(DEFAULT, options(SIGNED=True))] == ["Did you mean SIGN?"]
    (message,) = run(DEFAULT, options(CONNECTION_POOL_CLASS="redis.BlockingConnectionPool"))
    assert message.hint == "Leave it out."
    (message,) = run(DEFAULT, options(TIMEOUT=300))
    assert "SOCKET_TIMEOUT" in str(message.hint)


def test_checks__run_under_djangos_tags(settings: Any) -> None:
    settings.UPSTASH = {"default": {}}
    settings.UPSTASH_KEY_PREFIX = settings.UPSTASH_RATELIMIT = 5

    def ids(*tags: str) -> set[str]:
        found = django_checks.run_checks(tags=tags)
        return {str(message.id).removeprefix("django_upstash.") for message in found}

    assert ids("caches") >= {"E004"}
    assert ids("security") >= {"E060"}
    assert ids(checks.TAG) >= {"E004", "E060", "E201"}
    assert ids("models").isdisjoint({"E004", "E060", "E201"})


def test_ids__each_has_a_case_and_one_row_in_the_docs() -> None:
    names = "breaker/settings breaker/checks cache/settings cache/checks ratelimit/settings ratelimit/checks"
    names += " settings/cache_location settings/checks settings/conf settings/key_prefix settings/validation"
    sources = [PACKAGE / f"{name}.py" for name in names.split()]
    written = {found for source in sources for found in re.findall(r'"([EW]\d{3})"', source.read_text("utf-8"))}
    written -= {"E308"}  # in tests/admin/test_integration.py and docs/admin.md
    tested = {case[0] for case in (*CONNECTION_CASES, *CACHE_CASES, *RATELIMIT_CASES, *DEPLOY_CASES)} | {
        "E027",
        "E213",
        "W009",
        *("E060", "W010"),  # in tests/settings/test_key_prefix.py
        "E061",  # in tests/test_features.py
    }
    tested |= {identifier for _, identifier, _ in BREAKER_CASES}
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")

    assert tested == written
    assert re.findall(r"^\| `django_upstash\.([EW]\d{3})` \|", page, re.MULTILINE) == sorted(written)


def test_checks__import_no_client_and_open_no_socket() -> None:
    code = f"""
import sys
def refuse(event, arguments):
    if event.startswith("socket."):
        raise AssertionError(event)
sys.addaudithook(refuse)
import django
from django.conf import settings
from django.core.checks import run_checks
settings.configure(
    INSTALLED_APPS=["django_upstash"],
    SECRET_KEY="x",
    UPSTASH={{"default": {DEFAULT["default"]!r}, "rest": {REST!r}, "wrong": {{"URL": "redis://h.example.com"}}}},
    CACHES={{"default": {cache(OPTIONS={"SERIALIZER": "django_redis.serializers.json.JSONSerializer"})!r}}},
)
django.setup()
from django_upstash.settings import environment
environment.caches_from_env({{}})
print([message.id for message in run_checks(tags=["django_upstash"], include_deployment_checks=True)])
clients = {{"redis", "django_redis", "upstash_redis", "hiredis", "httptools", "httpx", "httpcore", "h11", "requests"}}
print(sorted(clients.intersection(sys.modules)))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == ["['django_upstash.E011']", "[]"]
