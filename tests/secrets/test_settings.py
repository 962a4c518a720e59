"""No report of wrong settings shows a secret in them, and nothing that shows settings does."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command

from django_upstash.cache import UpstashCache
from django_upstash.cache.checks import check_caches
from django_upstash.connections import Connection, connections
from django_upstash.contrib.celery import celery_broker_url
from django_upstash.idempotency.settings import idempotency_settings
from django_upstash.sessions.settings import session_settings
from django_upstash.settings import conf
from django_upstash.settings.checks import check_connections
from django_upstash.settings.environment import config_from_env, idempotency_from_env, sessions_from_env
from django_upstash.wire.endpoint import Endpoint
from tests.secrets.planted import PASSWORD, PROXY_PASSWORD, places
from tests.secrets.reporters import REPORTERS, Reporter, debug_pages, tracebacks


def native(userinfo: str, rest: str = "") -> str:
    return f"rediss://{userinfo}@eu1-example.upstash.io:6379{rest}"


def wrong_entries() -> dict[str, Any]:
    """Return entries of ``UPSTASH`` that are refused, each with the secret in it."""
    text, quoted, core = PASSWORD.text, PASSWORD.quoted, PASSWORD.core
    return {
        "unencoded": {"URL": native(f"default:{text}")},
        "slash": {"URL": f"rediss://default:{core}/x@host"},
        "in place of the port": {"URL": f"rediss://host.example.com:{core}"},
        "no scheme": {"URL": f"default:{core}@host:6379"},
        "redis-cli": {"URL": f"redis-cli --tls -u redis://default:{quoted}@host:6379"},
        "quotes": {"URL": f'"{native(f"default:{quoted}")}"'},
        "in the query": {"URL": f"rediss://host.example.com?password={quoted}"},
        "in the fragment": {"URL": f"rediss://host.example.com#{core}"},
        "two passwords": {"URL": native("default:other"), "PASSWORD": text},
        "token beside a native URL": {"URL": native(f"default:{quoted}"), "TOKEN": text},
        "password beside a REST URL": {"URL": "https://eu1-example.upstash.io", "PASSWORD": text},
        "password as the REST user": {"URL": f"https://default:{quoted}@eu1-example.upstash.io", "TOKEN": text},
        "token with a space": {"URL": "https://eu1-example.upstash.io", "TOKEN": f"Bearer {text}"},
        "token as the URL": {"URL": text, "TOKEN": "https://eu1-example.upstash.io"},
        "another name": {"URL": native(f"default:{quoted}"), "REST_TOKEN": text},
        "wrong number": {"URL": native(f"default:{quoted}"), "PASSWORD": text, "TIMEOUT": "soon"},
        "bytes": {"URL": native("default"), "PASSWORD": text.encode()},
        "list": {"URL": [native(f"default:{quoted}")]},
        "text": native(f"default:{quoted}"),
    }


NUMBER = 7_314_159_265
WRONG_TYPES: dict[str, Any] = {
    "integer": NUMBER,
    "float": NUMBER + 0.5,
    "list": [NUMBER],
    "dict": {"value": NUMBER},
    "bytearray": bytearray(str(NUMBER).encode()),
}


@pytest.mark.parametrize("kind", WRONG_TYPES)
@pytest.mark.parametrize("key", ["PASSWORD", "TOKEN", "USERNAME", "URL"])
def test_wrong_type__is_refused_and_not_shown(kind: str, key: str, settings: Any) -> None:
    url = "https://eu1-example.upstash.io" if key == "TOKEN" else "rediss://eu1-example.upstash.io"
    settings.UPSTASH = {"default": {"URL": url, key: WRONG_TYPES[kind]}}
    said = reports(lambda: connections["default"], *REPORTERS)
    assert {"integer": "int", "bytearray": "bytes"}.get(kind, kind) in said
    assert str(NUMBER) not in said
    assert str(NUMBER) not in repr(settings.UPSTASH)
    assert settings.UPSTASH["default"][key] == WRONG_TYPES[kind]


def wrong_caches() -> dict[str, dict[str, Any]]:
    text, quoted = PASSWORD.text, PASSWORD.quoted
    return {
        "location": {"LOCATION": native(f"default:{text}")},
        "locations": {"LOCATION": [native(f"default:{quoted}"), native(f"default:{quoted}", "/1")]},
        "joined": {"LOCATION": f"{native(f'default:{quoted}')},{native(f'default:{quoted}')}"},
        "option beside an alias": {"LOCATION": "default", "OPTIONS": {"PASSWORD": text}},
        "pool argument beside an alias": {
            "LOCATION": "default",
            "OPTIONS": {"CONNECTION_POOL_KWARGS": {"password": text}},
        },
        "token beside a native URL": {"LOCATION": native("default"), "OPTIONS": {"TOKEN": text, "PASSWORD": text}},
    }


def reports(work: Callable[[], object], *others: Reporter) -> str:
    """Return what the reporters say of the error that the work ends in; a traceback with variables says the most."""
    with pytest.raises(ImproperlyConfigured) as caught:
        work()
    return "\n".join(text for reporter in (tracebacks, *others) for text in reporter(caught.value))


@pytest.fixture(autouse=True)
def unused(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("NO_PROXY", "no_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield
    connections.close_all()


@pytest.mark.parametrize("case", wrong_entries())
def test_wrong_entry__is_not_shown(case: str, settings: Any) -> None:
    settings.UPSTASH = {"default": wrong_entries()[case]}
    assert places(reports(lambda: connections["default"].run)) == []
    found = [*check_connections(), *check_caches()]
    assert found
    assert places(" ".join(f"{message} {message!r}" for message in found)) == []


def test_setting_of_another_type__is_not_shown(settings: Any) -> None:
    settings.UPSTASH = native(f"default:{PASSWORD.quoted}")
    assert places(reports(lambda: connections["default"], *REPORTERS)) == []


@pytest.mark.parametrize("case", wrong_caches())
def test_wrong_cache__is_not_shown(case: str, settings: Any) -> None:
    settings.UPSTASH = {"default": {"URL": "rediss://eu1-example.upstash.io"}}
    settings.CACHES = {"default": {"BACKEND": conf.CACHE_BACKEND, **wrong_caches()[case]}}
    entry = settings.CACHES["default"]
    assert places(reports(lambda: UpstashCache(entry["LOCATION"], entry).get("a"))) == []


def test_wrong_keys__are_not_shown(settings: Any) -> None:
    settings.UPSTASH_SESSIONS = {"ENCRYPTION_KEYS": [PASSWORD.text, PASSWORD.text.encode()]}
    settings.UPSTASH_IDEMPOTENCY = {"ENCRYPTION_KEYS": [PASSWORD.text]}
    assert places(reports(session_settings)) == []
    assert places(reports(idempotency_settings)) == []


def wrong_environments() -> dict[str, Mapping[str, str]]:
    text, quoted = PASSWORD.text, PASSWORD.quoted
    return {
        "no token": {"UPSTASH_REDIS_REST_URL": f"https://default:{quoted}@eu1-example.upstash.io"},
        "another protocol": {"REDIS_URL": native(f"default:{quoted}"), "REDIS_PROTOCOL": "rest"},
        "another prefix": {"SHOP_REDIS_URL": native(f"default:{quoted}")},
        "a number": {"REDIS_URL": native(f"default:{quoted}"), "REDIS_MAX_POOL_SIZE": text},
        "a flag": {"REDIS_URL": native(f"default:{quoted}"), "REDIS_ENABLE": text},
        "keys": {"REDIS_URL": native(f"default:{quoted}"), "TOKEN_ENCRYPTION_KEY": text},
    }


@pytest.mark.parametrize("case", wrong_environments())
def test_wrong_environment__is_not_shown(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in wrong_environments()[case].items():
        monkeypatch.setenv(name, text)
    del name, text
    assert places(reports(lambda: config_from_env(PASSWORD=PASSWORD.text))) == []


def test_what_the_environment_says__is_not_shown() -> None:
    made = [
        config_from_env({"REDIS_URL": url}) for url in (native(f"a:{PASSWORD.quoted}"), native(f"a:{PASSWORD.text}"))
    ]
    keys = {"TOKEN_ENCRYPTION_KEY": (3 * PASSWORD.core.encode())[:32].hex()}
    made += [sessions_from_env(keys), idempotency_from_env(keys)]
    assert places(repr(made)) == []


def test_celery__has_the_password_and_does_not_show_it() -> None:
    url = celery_broker_url(upstash={"default": {"URL": native(f"default:{PASSWORD.quoted}")}})
    assert PASSWORD.quoted in str(url)
    assert places(repr(url)) == []
    wrong = {"default": {"URL": "https://eu1-example.upstash.io", "TOKEN": PASSWORD.text}}
    assert places(reports(lambda: celery_broker_url(upstash=wrong))) == []


@pytest.mark.parametrize("scheme", ["http", "socks5", "https"])
def test_proxy_that_cannot_be_used__is_not_shown(scheme: str, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.UPSTASH = {"default": {"URL": "https://rest.example.com", "TOKEN": PASSWORD.text}}
    monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://user:{PROXY_PASSWORD.text}@127.0.0.1:9")
    with pytest.raises(Exception, match="proxy") as caught:
        connections["default"].ping()
    assert places("\n".join(text for reporter in REPORTERS for text in reporter(caught.value))) == []


@pytest.mark.parametrize("route", ["native", "rest"])
def test_objects__do_not_show_what_they_hold(route: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {
        "native": {"URL": native(f"default:{PASSWORD.quoted}")},
        "rest": {"URL": "https://rest.example.com", "TOKEN": PASSWORD.text},
    }
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{PROXY_PASSWORD.quoted}@127.0.0.1:9")
    settings.UPSTASH = {"default": entries[route]}
    settings.UPSTASH_SESSIONS = {"ENCRYPTION_KEYS": [(3 * PASSWORD.core.encode())[:32]]}
    connection = connections["default"]
    objects = [
        *(connection, connection.settings, connection.route, connection.redis, connection.async_redis),
        *(connection.upstash, connection.async_upstash, connection.availability, connection.capabilities),
        *(connection.redis.connection_pool, session_settings(), UpstashCache("default", {})),
        *([Endpoint.of(connection.settings)] if route == "rest" else []),
    ]
    shown = [f"{one!r} {one} {getattr(one, '__dict__', '')!r}" for one in objects]
    assert places("\n".join(shown)) == []
    assert isinstance(connection, Connection)


def test_settings__are_shown_without_secrets(settings: Any) -> None:
    settings.UPSTASH = {
        "default": {"URL": native(f"default:{PASSWORD.quoted}")},
        "apart": {"URL": "rediss://eu1-example.upstash.io", "PASSWORD": PASSWORD.text},
        "rest": {"URL": "https://eu1-example.upstash.io", "TOKEN": PASSWORD.text},
    }
    settings.UPSTASH_SESSIONS = {"ENCRYPTION_KEYS": [PASSWORD.text.encode()]}
    settings.CACHES = {
        "default": {
            "BACKEND": conf.CACHE_BACKEND,
            "LOCATION": [native(f"default:{PASSWORD.quoted}")],
            "OPTIONS": {"PASSWORD": PASSWORD.text, "CONNECTION_POOL_KWARGS": {"password": PASSWORD.text}},
        }
    }
    out = io.StringIO()
    call_command("diffsettings", stdout=out)
    pages = "\n".join(debug_pages(ValueError("unrelated")))
    assert "eu1-example.upstash.io" in out.getvalue()
    assert "eu1-example.upstash.io" in pages
    assert places(out.getvalue() + pages) == []
