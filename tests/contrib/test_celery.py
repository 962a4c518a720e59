from __future__ import annotations

import ast
import re
import ssl
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_upstash.contrib.celery import celery_broker_url
from tests.servers import Server, ServerMissing, certificate, start_redis, start_valkey

kombu: Any = import_module("kombu")  # its annotations are incomplete
PASSWORD = "p/@%s:#?é"


def url_of(**given: Any) -> str:
    return celery_broker_url(upstash={"default": given})


def exchange(url: str, **options: Any) -> Any:
    """Send a message through a real queue and return what arrives."""
    with kombu.Connection(url, connect_timeout=5, transport_options=options) as connection:
        queue = connection.SimpleQueue("jobs")
        queue.put({"answer": 42})
        message = queue.get(timeout=5)
        message.ack()
        queue.close()
    return message.payload


@pytest.fixture
def guarded() -> Any:
    with start_valkey(user=["default off", f'ann on ">{PASSWORD}" ~* &* +@all']) as server:
        yield server


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"URL": "rediss://default:p%2Fw@eu1-x.upstash.io"}, ("eu1-x.upstash.io", 6379, "default", "p/w", "0")),
        (
            {"URL": "rediss://eu1-x.upstash.io:6380", "PASSWORD": PASSWORD},
            ("eu1-x.upstash.io", 6380, None, PASSWORD, "0"),
        ),
        ({"URL": "redis://[::1]:7000/2"}, ("::1", 7000, None, None, "2")),
        ({"URL": "redis://ann@redis/1", "PASSWORD": "pw"}, ("redis", 6379, "ann", "pw", "1")),
    ],
)
def test_celery_broker_url__as_kombu_reads_it(given: dict[str, Any], expected: tuple[Any, ...]) -> None:
    read = kombu.Connection(url_of(**given))
    assert (read.hostname, read.port, read.userid, read.password, read.virtual_host) == expected
    assert read.transport_cls == ("redis" if given["URL"].startswith("redis:") else "rediss")


def test_celery_broker_url__tls_is_verified() -> None:
    read = kombu.Connection(url_of(URL="rediss://h", CA_CERTS=certificate().ca_file))
    assert read.ssl == {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": str(certificate().ca_file)}


def test_celery_broker_url__tls_is_unverified_on_purpose_alone() -> None:
    assert kombu.Connection(url_of(URL="rediss://h", VERIFY_TLS=False)).ssl == {"ssl_cert_reqs": ssl.CERT_NONE}
    with pytest.raises(ImproperlyConfigured, match="switches TLS verification off"):
        url_of(URL="rediss://h?ssl_cert_reqs=CERT_NONE")


def test_celery_broker_url__carries_messages(guarded: Server) -> None:
    user = {"USERNAME": "ann", "PASSWORD": PASSWORD}
    for url in (guarded.tcp_url, guarded.url, f"{guarded.url}?db=3"):
        assert exchange(url_of(URL=url, **user)) == {"answer": 42}
    assert b"db3" in guarded.call("INFO", "keyspace")


def test_celery_broker_url__carries_messages_over_tls() -> None:
    try:
        with start_redis(tls=True, requirepass="pw") as server:
            given = {"URL": server.tls_url, "PASSWORD": "pw"}
            assert exchange(url_of(**given, CA_CERTS=certificate().ca_file)) == {"answer": 42}
            untrusting = kombu.Connection(url_of(**given))
            with pytest.raises(kombu.exceptions.OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
                untrusting.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
            untrusting.release()
    except ServerMissing as missing:
        pytest.skip(str(missing))


def test_documented_transport_options__are_kombus() -> None:
    page = Path(__file__).resolve().parents[2].joinpath("docs", "celery.md").read_text("utf-8")
    (block,) = re.findall(r"^CELERY_BROKER_TRANSPORT_OPTIONS = (\{.*?^\})", page, re.DOTALL | re.MULTILINE)
    options = ast.literal_eval(block)

    with start_valkey() as server:
        url = url_of(URL=server.tcp_url)
        assert exchange(url, **options) == {"answer": 42}
        assert all(key.startswith(options["global_keyprefix"].encode()) for key in server.call("KEYS", "*"))
        with kombu.Connection(url, transport_options=options) as connection:
            channel = connection.channel()
            assert channel.brpop_timeout == options["polling_interval"] < options["socket_timeout"]
            assert {"socket_timeout", "health_check_interval"} < set(channel.from_transport_options)


@override_settings(UPSTASH={"default": {"URL": "rediss://h"}, "jobs": {"URL": "redis://localhost:7000"}})
def test_celery_broker_url__of_the_settings() -> None:
    assert celery_broker_url() == "rediss://h:6379/0?ssl_cert_reqs=CERT_REQUIRED"
    assert celery_broker_url("jobs") == "redis://localhost:7000/0"


@pytest.mark.parametrize("given", [{"URL": "https://h", "TOKEN": "secret"}, {"URL": "embedded://"}])
def test_celery_broker_url__native_alone(given: dict[str, Any]) -> None:
    with pytest.raises(ImproperlyConfigured, match="Celery speaks the native protocol alone") as raised:
        url_of(**given, ALLOW_EMBEDDED=True)
    assert "secret" not in str(raised.value)


def test_celery_broker_url__unknown_alias() -> None:
    with pytest.raises(ImproperlyConfigured, match="UPSTASH has no connection 'jobs' for Celery"):
        celery_broker_url("jobs", {"default": {"URL": "rediss://h"}})
