from __future__ import annotations

import ssl
from urllib.parse import urlsplit

import pytest
from redis.connection import parse_url

from django_upstash.settings import redis_arguments


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h", 0),
        ("redis://h/", 0),
        ("redis://h/3", 3),
        ("redis://h/3?db=4", 4),
        ("unix:///run/redis.sock?db=2", 2),
        ("unix:///run/redis.sock", 0),
    ],
)
def test_database__as_redis_py_reads_it(url: str, expected: int) -> None:
    assert redis_arguments.database(urlsplit(url)) == expected
    assert parse_url(url).get("db", 0) == expected  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("path", ["/x", "/1/2", "/-1", "?db=x", "/٣", "/" + "9" * 5000])
def test_database__no_number(path: str) -> None:
    assert redis_arguments.database(urlsplit(f"redis://h{path}")) is None


def test_entry__gives_the_keys_of_upstash() -> None:
    arguments = {"socket_timeout": "2.5", "max_connections": "7", "password": "0123", "ssl_ca_certs": "1", "db": "3"}
    assert redis_arguments.entry(arguments) == {
        "TIMEOUT": 2.5,
        "MAX_CONNECTIONS": 7,
        "PASSWORD": "0123",
        "CA_CERTS": "1",
    }


def test_entry__leaves_values_of_python_as_they_are() -> None:
    assert redis_arguments.entry({"socket_timeout": 2.5, "max_connections": None}) == {"TIMEOUT": 2.5}


@pytest.mark.parametrize("value", ["none", "CERT_NONE", "", None, ssl.CERT_NONE, 0, "false"])
def test_weakening_tls__certificate_not_required(value: object) -> None:
    assert list(redis_arguments.weakening_tls({"ssl_cert_reqs": value})) == ["ssl_cert_reqs"]


@pytest.mark.parametrize("value", ["required", "CERT_REQUIRED", ssl.CERT_REQUIRED, "optional", ssl.CERT_OPTIONAL])
def test_weakening_tls__certificate_required(value: object) -> None:
    assert list(redis_arguments.weakening_tls({"ssl_cert_reqs": value, "ssl_check_hostname": "true"})) == []


@pytest.mark.parametrize("value", [False, "False", "0", "no"])
def test_weakening_tls__any_host_name(value: object) -> None:
    assert list(redis_arguments.weakening_tls({"ssl_check_hostname": value})) == ["ssl_check_hostname"]


def test_without_effect__names_what_is_not_read() -> None:
    arguments = {"db": "1", "health_check_interval": "30", "ssl_cert_reqs": "required", "timeout": "1", "protocol": "3"}
    assert list(redis_arguments.without_effect(arguments)) == ["health_check_interval", "protocol"]
