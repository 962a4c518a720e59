from __future__ import annotations

import string
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from django_upstash.settings import validation
from django_upstash.settings.conf import ConnectionSettings, mistakes

CA_CERTS = str(Path(__file__).resolve())  # any file: what is in it shows when a connection is made
REST = {"URL": "https://eu1-x.upstash.io", "TOKEN": "AXk3ASQg="}


def ids(entry: Any) -> list[str]:
    return [mistake.id for mistake in mistakes("default", entry)]


def of(expected: str, key: str, *values: object) -> list[tuple[str, str, object]]:
    return [(expected, key, value) for value in values]


def texts(entry: Any) -> str:
    return " ".join(map(str, mistakes("default", entry)))


def test_rules__cover_every_field() -> None:
    known = {field.name.upper() for field in fields(ConnectionSettings)} - {"ALIAS"}
    assert set(validation.RULES) == known


@pytest.mark.parametrize(
    "url",
    [
        "rediss://default:secret@eu1-x.upstash.io:6379",
        "REDISS://default:secret@EU1-X.upstash.io",
        " rediss://eu1-x.upstash.io/0 \n",
        "rediss://eu1-x.upstash.io?ssl_cert_reqs=required&ssl_check_hostname=true",
        "rediss://redis.example.com:6380/3",
        "rediss://us%40er:p%2Fa%3Fs%23s@example.com",
        "redis://localhost",
        "redis://redis:6379/1",
        "redis://:secret@10.0.0.7",
        "redis://[::1]:6379",
        "redis://[fd00::7]:6379/1",
        "redis://cache.prod.svc.cluster.local",
        "unix:///run/redis/redis.sock?db=1",
        "unix://user:secret@/run/redis/redis.sock",
        "embedded://",
        "embedded:///srv/shop/.redis",
    ],
)
def test_native_url__accepted(url: str) -> None:
    assert ids({"URL": url}) == []


@pytest.mark.parametrize("url", ["https://eu1-x.upstash.io", "https://eu1-x.upstash.io/", "http://127.0.0.1:8079"])
def test_rest_url__accepted(url: str) -> None:
    assert ids({"URL": url, "TOKEN": " AXk3ASQg= \n"}) == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (None, "E004"),
        ("", "E004"),
        (" \n", "E004"),
        (b"rediss://h", "E004"),
        (6379, "E004"),
        ("'rediss://h'", "E005"),
        ("'rediss://h", "E005"),
        ("rediss://h`", "E005"),
        ('"https://eu1-x.upstash.io"', "E005"),
        ("\u201crediss://h\u201d", "E005"),
        ("rediss://user:pass word@h", "E005"),
        ("rediss://user:pass\nword@h", "E005"),
        ("redis-cli --tls -u redis://default:secret@eu1-x.upstash.io:6379", "E005"),
        ("eu1-x.upstash.io:6379", "E006"),
        ("default:secret@eu1-x.upstash.io:6379", "E006"),
        ("UPSTASH_REDIS_REST_URL=https://eu1-x.upstash.io", "E006"),
        ("reddis://h", "E006"),
        ("redis:/h", "E006"),
        ("ftp://h", "E006"),
        ("rediss", "E006"),
        ("rediss://default:a/b@h", "E007"),
        ("rediss://default:a?b@h", "E007"),
        ("rediss://default:a#b@h", "E007"),
        ("rediss://default:a@b@h", "E007"),
        ("rediss://default:a[b@h", "E007"),
        ("rediss://h#fragment", "E007"),
        ("rediss://h:port", "E008"),
        ("rediss://h:0", "E008"),
        ("rediss://h:65536", "E008"),
        ("rediss://", "E009"),
        ("rediss://:6379", "E009"),
        ("rediss://user:secret@", "E009"),
        ("rediss://<your-host>", "E009"),
        ("redis://134744072", "E009"),
        ("unix://run/redis.sock", "E009"),
        ("unix://", "E009"),
        ("embedded://folder/x", "E009"),
        ("redis://eu1-x.upstash.io", "E010"),
        ("redis://8.8.8.8", "E011"),
        ("redis://redis.example.com", "E011"),
        ("redis://[2606:4700::1111]", "E011"),
        ("redis://[::ffff:8.8.8.8]", "E011"),
        ("rediss://eu1-x.upstash.io:443", "E012"),
        ("rediss://h/cache", "E013"),
        ("rediss://h/1/2", "E013"),
        ("rediss://eu1-x.upstash.io/1", "E013"),
        ("rediss://h?db=one", "E013"),
        ("rediss://h?ssl_cert_reqs=none", "E014"),
        ("rediss://h?ssl_cert_reqs=CERT_NONE", "E014"),
        ("rediss://h?ssl_check_hostname=False", "E014"),
        ("rediss://h?password=secret", "E015"),
        ("rediss://h?socket_timeout=-1", "E021"),
        ("rediss://h?max_connections=many", "E022"),
        ("rediss://h?ssl_ca_certs=/nowhere/ca.pem", "E025"),
    ],
)
def test_native_url__refused(url: Any, expected: str) -> None:
    assert ids({"URL": url}) == [expected]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://eu1-x.upstash.io", "E010"),
        ("http://redis-rest.example.com", "E011"),
        ("http://10.0.0.7:8079", "E011"),
        ("https://eu1-x.upstash.io:6379", "E012"),
        ("https://eu1-x.upstash.io/get/key", "E016"),
        ("https://eu1-x.upstash.io?_token=secret", "E016"),
        ("https://default:secret@eu1-x.upstash.io", "E016"),
    ],
)
def test_rest_url__refused(url: str, expected: str) -> None:
    assert ids({**REST, "URL": url}) == [expected]


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (None, "E017"),
        ("", "E017"),
        (" ", "E017"),
        ("https://eu1-x.upstash.io", "E018"),
        ('"AXk3ASQg="', "E018"),
        ("AXk3ASQg='", "E018"),
        ("`AXk3ASQg=", "E018"),
        ("Bearer AXk3ASQg=", "E018"),
        ("AXk3\nASQg=", "E018"),
        ("AXk3…", "E018"),
        (b"AXk3ASQg=", "E024"),
    ],
)
def test_token__refused(token: Any, expected: str) -> None:
    assert ids({**REST, "TOKEN": token}) == [expected]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"URL": "rediss://h", "TOKEN": "AXk3ASQg="}, ["E019"]),
        ({"URL": "embedded://", "TOKEN": "AXk3ASQg="}, ["E019"]),
        ({**REST, "PASSWORD": "secret"}, ["E020"]),
        ({**REST, "USERNAME": "default", "PASSWORD": "secret"}, ["E020", "E020"]),
        ({"URL": "rediss://default:one@h", "PASSWORD": "two"}, ["E026"]),
        ({"URL": "rediss://ann@h", "USERNAME": "ben"}, ["E026"]),
        ({"URL": "rediss://default:o%2Fe@h", "PASSWORD": "o/e"}, []),
        ({"URL": "rediss://h", "USERNAME": "default", "PASSWORD": "two"}, []),
        ({"URL": "rediss://h", "TOKEN": None, "USERNAME": "", "PASSWORD": " "}, []),
    ],
)
def test_credentials__belong_to_their_route(entry: Any, expected: list[str]) -> None:
    assert ids(entry) == expected


def test_allow_plaintext__is_the_way_out() -> None:
    assert ids({"URL": "redis://redis.example.com", "ALLOW_PLAINTEXT": True}) == []
    assert ids({"URL": "http://srh", "TOKEN": "local", "ALLOW_PLAINTEXT": True}) == []
    assert ids({"URL": "redis://eu1-x.upstash.io", "ALLOW_PLAINTEXT": True}) == []
    assert ids({"URL": "redis://default:secret@fly-shop.upstash.io:6379"}) == []
    assert ids({"URL": "rediss://default:secret@fly-shop.upstash.io:6379"}) == []
    assert ids({"URL": "http://fly-shop.upstash.io", "TOKEN": "t"}) == ["E010"]


@pytest.mark.parametrize(
    ("expected", "key", "value"),
    [
        *of("E021", "TIMEOUT", None, 0, -1, float("nan"), float("inf"), 10**400, "5", True, 86_401),
        *of("E021", "CONNECT_TIMEOUT", 0, "5"),
        *of("E021", "POOL_TIMEOUT", -0.1, []),
        *of("E021", "IDLE_CHECK", None, 0, "10", True),
        *of("E022", "MAX_CONNECTIONS", 0, 1.5, "10", True, None),
        *of("E022", "RETRIES", -1, 1.0, None, False),
        *of("E022", "MAX_REQUEST_SIZE", 0, "10MB"),
        *of("E023", "READ_YOUR_WRITES", "False", None),
        *of("E023", "TELEMETRY", 0),
        *of("E023", "VERIFY_TLS", "none"),
        *of("E023", "ALLOW_PLAINTEXT", 1),
        *of("E023", "ALLOW_EMBEDDED", "yes"),
        *of("E024", "TOKEN", 12345),
        *of("E024", "USERNAME", b"ann"),
        *of("E024", "PASSWORD", 12345),
        *of("E024", "SOURCE", ["REDIS_URL"]),
        *of("E025", "CA_CERTS", "/nowhere/ca.pem", "", 5, str(Path(CA_CERTS).parent)),
    ],
)
def test_value__refused(expected: str, key: str, value: Any) -> None:
    entry = {"URL": "rediss://h", key: value}
    assert ids(entry) == [expected]
    assert f"UPSTASH['default'][\"{key}\"] must be " in texts(entry)


@pytest.mark.parametrize(
    ("entry", "end"),
    [
        ({"RETRIES": -1}, "it is -1."),
        ({"TIMEOUT": None}, "it is None."),
        ({"TIMEOUT": "5"}, "it is str."),
        ({"PASSWORD": 12345}, "it is int."),
    ],
)
def test_value__shown_where_it_cannot_be_a_secret(entry: Any, end: str) -> None:
    (mistake,) = mistakes("default", {"URL": "rediss://h", **entry})
    assert mistake.text.endswith(end)


def test_ca_certs__file_descriptor_is_no_path() -> None:
    with open(__file__) as opened:
        assert ids({"URL": "rediss://h", "CA_CERTS": opened.fileno()}) == ["E025"]


def test_query__a_key_goes_before() -> None:
    assert ids({"URL": "rediss://h?socket_timeout=-1", "TIMEOUT": 5}) == []


def test_value__accepted() -> None:
    times = {"TIMEOUT": 0.25, "CONNECT_TIMEOUT": 86_400, "POOL_TIMEOUT": None, "IDLE_CHECK": 0.5}
    sizes = {"MAX_CONNECTIONS": 1, "RETRIES": 0, "MAX_REQUEST_SIZE": 1}
    assert ids({"URL": "rediss://h", **times, **sizes, "CA_CERTS": Path(CA_CERTS), "VERIFY_TLS": False}) == []


@pytest.mark.parametrize(
    ("key", "meant"),
    [("TIMEUOT", "TIMEOUT"), ("url", "URL"), ("Location", "URL"), ("SSL_CA_CERTS", "CA_CERTS"), ("MAX_CONNS", "MAX_")],
)
def test_unknown_key__suggests_the_one_meant(key: str, meant: str) -> None:
    (mistake,) = mistakes("default", {"URL": "rediss://h", key: 1})
    assert mistake.id == "E003"
    assert mistake.hint.startswith(f"Did you mean {meant}")


@pytest.mark.parametrize("key", [7, "REPLICAS"])
def test_unknown_key__lists_the_known_ones(key: Any) -> None:
    (mistake,) = mistakes("default", {"URL": "rediss://h", key: 1})
    assert "ALLOW_EMBEDDED, ALLOW_PLAINTEXT, CA_CERTS" in mistake.hint


def test_mistakes__are_all_told() -> None:
    entry = {"URL": "redis://h.example.com/x", "TOKEN": "t", "RETRIES": -1, "REPLICAS": 2}
    assert ids(entry) == ["E003", "E022", "E011", "E013", "E019"]


def test_scheme__suggests_the_one_meant() -> None:
    assert "Did you mean rediss://?" in texts({"URL": "redisss://h"})


def test_source__is_named_beside_the_url() -> None:
    entry = {"URL": "rediss://h:port", "SOURCE": "REDIS_URL"}
    assert texts(entry).startswith("UPSTASH['default'][\"URL\"] (from REDIS_URL) has a port")
    assert texts({**REST, "TOKEN": "", "SOURCE": "KV_REST_API_URL"}).startswith(
        "UPSTASH['default'][\"TOKEN\"] is missing"
    )
    assert texts({**entry, "SOURCE": None}).startswith("UPSTASH['default'][\"URL\"] has a port")


SECRET = "hunter2hunter2"
_around = st.text(st.sampled_from(string.punctuation + " \n09az\u2100é"), max_size=6)


@given(
    before=_around,
    after=_around,
    form=st.sampled_from(
        [
            *(
                "{}",
                "{}://h",
                "rediss://{}",
                "rediss://default:{}@h",
                "redis://:{}@eu1-x.upstash.io/1",
                "https://x:{}@h",
            ),
            *(
                "rediss://h/{}",
                "rediss://h?{}=1",
                "rediss://h?password={}",
                "rediss://h#{}",
                "rediss://h:{}",
                "unix://{}",
            ),
        ]
    ),
)
@example(before="1/", after="", form="rediss://default:{}@h:6379")
@example(before="[", after="", form="rediss://default:{}@h:6379")
@example(before="\u2100", after="", form="rediss://default:{}@h:6379")
def test_secrets__are_in_no_sentence(before: str, after: str, form: str) -> None:
    secret = f"{before}{SECRET}{after}"
    for entry in (
        {"URL": form.format(secret)},
        {"URL": form.format(secret), "TOKEN": secret, "PASSWORD": secret, "USERNAME": secret},
        {**REST, "TOKEN": secret, "TIMEOUT": secret, "CA_CERTS": secret, "VERIFY_TLS": secret},
    ):
        assert SECRET not in texts(entry)
