from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_upstash.settings import conf
from django_upstash.settings.conf import cache_location_settings, connection_settings, make_settings

CA_CERTS = Path(__file__).resolve()


def test_make_settings__gives_every_key_its_type() -> None:
    given = {
        "URL": " REDISS://redis.example.com:6380/2 \n",
        "USERNAME": " ann ",
        "PASSWORD": " secret\n",
        "TIMEOUT": 2,
        "CONNECT_TIMEOUT": 1.5,
        "POOL_TIMEOUT": 0.5,
        "MAX_CONNECTIONS": 3,
        "RETRIES": 0,
        "IDLE_CHECK": 4,
        "MAX_REQUEST_SIZE": 1_000_000,
        "READ_YOUR_WRITES": False,
        "TELEMETRY": True,
        "CA_CERTS": CA_CERTS,
        "VERIFY_TLS": False,
        "ALLOW_PLAINTEXT": True,
        "ALLOW_EMBEDDED": True,
        "SOURCE": "REDIS_URL",
    }
    assert make_settings("main", given) == conf.ConnectionSettings(
        alias="main",
        url="rediss://redis.example.com:6380/2",
        username="ann",
        password="secret",
        timeout=2,
        connect_timeout=1.5,
        pool_timeout=0.5,
        max_connections=3,
        retries=0,
        idle_check=4,
        max_request_size=1_000_000,
        read_your_writes=False,
        telemetry=True,
        ca_certs=str(CA_CERTS),
        verify_tls=False,
        allow_plaintext=True,
        allow_embedded=True,
        source="REDIS_URL",
    )


def test_make_settings__rest() -> None:
    made = make_settings("rest", {"URL": "HTTPS://eu1-x.upstash.io/", "TOKEN": " AXk3ASQg=\n"})
    assert (made.url, made.token, made.route) == ("https://eu1-x.upstash.io", "AXk3ASQg=", "rest")


def test_make_settings__embedded_keeps_its_slashes() -> None:
    assert make_settings("main", {"URL": "EMBEDDED://"}).url == "embedded://"


def test_make_settings__times_follow_timeout() -> None:
    plain = make_settings("main", {"URL": "rediss://h", "TIMEOUT": 2})
    exact = make_settings("main", {"URL": "rediss://h", "CONNECT_TIMEOUT": 1, "POOL_TIMEOUT": 0.5})
    assert (plain.connect_seconds, plain.pool_seconds) == (2, 2)
    assert (exact.connect_seconds, exact.pool_seconds) == (1, 0.5)


def test_make_settings__empty_credentials_are_none() -> None:
    made = make_settings("main", {"URL": "rediss://h", "TOKEN": "", "USERNAME": " ", "PASSWORD": None})
    assert (made.token, made.username, made.password) == (None, None, None)


def test_make_settings__reads_redis_py_arguments_from_the_query() -> None:
    url = f"rediss://h/1?max_connections=4&socket_timeout=2.5&socket_connect_timeout=1&timeout=3&ssl_ca_certs={quote(str(CA_CERTS))}"
    made = make_settings("main", {"URL": url, "CONNECT_TIMEOUT": 0.5})

    assert (made.max_connections, made.timeout, made.pool_timeout) == (4, 2.5, 3)
    assert made.connect_timeout == 0.5  # a key says it nearer
    assert made.ca_certs == str(CA_CERTS)
    assert made.url == "rediss://h/1"


def test_make_settings__leaves_the_route_only_the_database_in_the_query() -> None:
    assert make_settings("main", {"URL": "unix:///run/a.sock?protocol=x&db=2"}).url == "unix:///run/a.sock?db=2"


def test_make_settings__raises_the_first_mistake_as_one_sentence_and_its_mend() -> None:
    with pytest.raises(ImproperlyConfigured) as raised:
        make_settings("main", {"URL": "https://eu1-x.upstash.io"})
    assert str(raised.value) == (
        "UPSTASH['main'][\"TOKEN\"] is missing, and a REST address needs it. "
        "The Upstash console shows it beside the address, as UPSTASH_REDIS_REST_TOKEN."
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"URL": "rediss://us%40er:p%2Fa%25s@h"}, ("us@er", "p/a%s")),
        ({"URL": "rediss://:secret@h"}, (None, "secret")),
        ({"URL": "rediss://ann@h", "PASSWORD": "p%2F"}, ("ann", "p%2F")),
        ({"URL": "unix://ann:p%40@/run/redis.sock"}, ("ann", "p@")),
        ({"URL": "rediss://h", "USERNAME": "ann"}, ("ann", None)),
        ({"URL": "rediss://h"}, (None, None)),
    ],
)
def test_user_and_password__are_decoded(given: dict[str, Any], expected: tuple[str | None, str | None]) -> None:
    assert make_settings("main", given).user_and_password == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("rediss://ann:secret@H.example.com:6380/2?db=3", "rediss://h.example.com:6380/2"),
        ("redis://:secret@[::1]:6379", "redis://[::1]:6379"),
        ("unix://:secret@/run/redis.sock?db=1", "unix:///run/redis.sock"),
    ],
)
def test_safe_url__has_no_secret(url: str, expected: str) -> None:
    assert make_settings("main", {"URL": url}).safe_url == expected


def test_repr__has_no_secret() -> None:
    native = make_settings("main", {"URL": "rediss://ann:hunter2@h"})
    rest = make_settings("rest", {"URL": "https://h", "TOKEN": "hunter2"})
    apart = make_settings("apart", {"URL": "rediss://h", "USERNAME": "ann", "PASSWORD": "hunter2"})

    assert "hunter2" not in f"{native!r} {rest!r} {apart!r}"
    assert native.secrets == rest.secrets == apart.secrets == {"hunter2"}


def test_secrets__as_written_and_decoded() -> None:
    assert make_settings("main", {"URL": "rediss://:p%2Fq@h"}).secrets == {"p%2Fq", "p/q"}


def test_database__number_in_the_url() -> None:
    assert make_settings("main", {"URL": "redis://localhost/3"}).database == 3
    assert make_settings("main", {"URL": "redis://localhost"}).database == 0


@override_settings(UPSTASH={"default": {"URL": "redis://localhost"}, "rest": {"URL": "https://h", "TOKEN": "t"}})
def test_connection_settings__reads_the_setting_on_access() -> None:
    assert conf.aliases() == ["default", "rest"]
    assert connection_settings("rest").route == "rest"
    with override_settings(UPSTASH={"default": {"URL": "redis://localhost:7000"}}):
        assert connection_settings("default").safe_url == "redis://localhost:7000"


@override_settings(UPSTASH={"default": {"URL": "redis://localhost"}})
def test_connection_settings__unknown_alias() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"UPSTASH has no connection 'sessions' \(it has: 'default'\)"):
        connection_settings("sessions")
    with override_settings(UPSTASH={}), pytest.raises(ImproperlyConfigured, match=r"\(it has: none\)"):
        connection_settings("default")


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        (["rediss://h"], "UPSTASH must be a dict of dicts, not list"),
        ("rediss://h", "UPSTASH must be a dict of dicts, not str"),
        ({None: {}}, "UPSTASH has a connection whose name is None"),
        ({"": {}}, "UPSTASH has a connection whose name is ''"),
        ({"default": "rediss://h"}, r"UPSTASH\['default'\] must be a dict, not str"),
    ],
)
def test_connection_settings__shape_of_the_setting(setting: Any, sentence: str) -> None:
    with override_settings(UPSTASH=setting), pytest.raises(ImproperlyConfigured, match=sentence):
        connection_settings("default")


def test_connection_settings__setting_is_missing(settings: Any) -> None:
    del settings.UPSTASH
    assert conf.aliases() == []


@override_settings(UPSTASH={"default": {"URL": "redis://localhost", "TIMEOUT": 2}})
@pytest.mark.parametrize("location", ["default", " default ", ["default"], ("default",)])
def test_cache_location_settings__alias(location: Any) -> None:
    assert cache_location_settings(location, {"SERIALIZER": "x.y"}) == connection_settings("default")


@pytest.mark.parametrize("location", ["redis://localhost/1", ["redis://localhost/1"], ("redis://localhost/1\n",)])
def test_cache_location_settings__url(location: Any) -> None:
    made = cache_location_settings(location, {})
    assert (made.alias, made.url) == ("redis://localhost/1", "redis://localhost/1")


def test_cache_location_settings__equal_ones_are_equal() -> None:
    options = {"PASSWORD": "secret", "CONNECTION_POOL_KWARGS": {"max_connections": 4}}
    made = [cache_location_settings("rediss://h", dict(options)) for _ in range(2)]
    assert made[0] == made[1]
    assert made[0] != cache_location_settings("rediss://h", {**options, "PASSWORD": "other"})


def test_cache_location_settings__follows_django_redis() -> None:
    options = {
        "USERNAME": "ann",
        "PASSWORD": "secret",
        "SOCKET_TIMEOUT": 2,
        "SOCKET_CONNECT_TIMEOUT": 1,
        "CONNECTION_POOL_KWARGS": {
            "max_connections": 50,
            "socket_timeout": 9,
            "timeout": 3,
            "ssl_cert_reqs": "required",
            "ssl_ca_certs": str(CA_CERTS),
            "retry_on_timeout": True,
        },
        "CLIENT_CLASS": "django_upstash.cache.client.UpstashClient",
        "IGNORE_EXCEPTIONS": True,
    }
    made = cache_location_settings("rediss://h:6380/1", options)

    assert (made.username, made.password) == ("ann", "secret")
    assert (made.timeout, made.connect_timeout, made.pool_timeout) == (2, 1, 3)
    assert (made.max_connections, made.ca_certs) == (50, str(CA_CERTS))


def test_cache_location_settings__takes_the_keys_of_upstash() -> None:
    options = {"TOKEN": "t", "MAX_CONNECTIONS": 2, "TELEMETRY": True, "ALLOW_PLAINTEXT": True, "SOCKET_TIMEOUT": None}
    made = cache_location_settings("http://srh:8079", options)
    assert (made.token, made.max_connections, made.telemetry, made.timeout) == ("t", 2, True, 5.0)


@override_settings(UPSTASH={"default": {"URL": "redis://localhost"}})
@pytest.mark.parametrize(
    ("location", "options", "sentence"),
    [
        (None, {}, r'CACHES\[…\]\["LOCATION"\] is missing\. Name a connection or give a URL\. UPSTASH has \'default\''),
        ("", {}, "is missing"),
        ([], {}, "is missing"),
        ("sessions", {}, "is neither a URL nor the name of a connection"),
        ("redis:6379", {}, "is neither a URL nor the name of a connection"),
        (["redis://a", "redis://b"], {}, "names several servers"),
        ("redis://a,redis://b", {}, "names several servers"),
        ("redis://redis.example.com", {}, r'\["LOCATION"\] sends password and data to a public host without TLS'),
        ("https://h", {}, r'\["OPTIONS"\]\["TOKEN"\] is missing'),
        ("rediss://h", {"SOCKET_TIMEOUT": "5"}, r'\["OPTIONS"\]\["SOCKET_TIMEOUT"\] must be a positive number'),
        ("rediss://h", {"MAX_CONNECTIONS": 0}, r'\["OPTIONS"\]\["MAX_CONNECTIONS"\] must be a whole number'),
        (
            "rediss://h",
            {"CONNECTION_POOL_KWARGS": {"max_connections": 0}},
            r'\["CONNECTION_POOL_KWARGS"\]\["max_connections"\] must be a whole number',
        ),
        ("rediss://h", {"CONNECTION_POOL_KWARGS": {"ssl_cert_reqs": None}}, "switches TLS verification off"),
        ("rediss://h", {"CONNECTION_POOL_KWARGS": {"db": 1}}, r'\["db"\] cannot be followed'),
        ("rediss://h", {"CONNECTION_POOL_KWARGS": {"ssl_certfile": "x"}}, r'\["ssl_certfile"\] cannot be followed'),
        ("rediss://h", {"CONNECTION_POOL_KWARGS": [1]}, r'\["CONNECTION_POOL_KWARGS"\] must be a dict'),
        ("rediss://h", {"SENTINELS": [("h", 26379)]}, r'\["SENTINELS"\] has no meaning here'),
        ("rediss://h", {"CLIENT_CLASS": "django_redis.client.HerdClient"}, r'\["CLIENT_CLASS"\] opens connections'),
        ("default", {"PASSWORD": "secret"}, "gives PASSWORD beside the name of a connection"),
        ("default", {"CONNECTION_POOL_KWARGS": {"password": "x"}}, "gives PASSWORD beside the name of a connection"),
        ("rediss://h", [], r'\["OPTIONS"\] must be a dict'),
    ],
)
def test_cache_location_settings__refused(location: Any, options: Any, sentence: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=sentence) as raised:
        cache_location_settings(location, options)
    assert "secret" not in str(raised.value)


@override_settings(UPSTASH={})
def test_cache_location_settings__says_that_there_are_no_connections() -> None:
    with pytest.raises(ImproperlyConfigured, match="UPSTASH has no connections"):
        cache_location_settings("default", {})
