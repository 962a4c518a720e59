"""Addresses as people write them: hosts with letters of every language, and sockets with one slash."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme

from django_upstash.connections import Connection
from django_upstash.dev_server import LocalServer
from django_upstash.operations import command
from django_upstash.settings import hosts
from django_upstash.settings.conf import make_settings
from django_upstash.wire.endpoint import Endpoint
from tests.fault_proxy import TLSProxy
from tests.servers import Certificate, Server
from tests.wire.test_http import ScriptedServer, result

NAME, ASCII_NAME = "müller.example", "xn--mller-kva.example"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (NAME, ASCII_NAME),
        ("MÜLLER.Example", "xn--mller-kva.Example"),
        ("データ.example", "xn--5ckp3n.example"),
        ("redis。example", "redis.example"),
        ("my_redis.müller.example", f"my_redis.{ASCII_NAME}"),
        ("straße.example", "xn--strae-oqa.example"),
        ("redis.example", "redis.example"),
    ],
)
def test_ascii_name(host: str, expected: str) -> None:
    assert hosts.ascii_name(host) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"rediss://user:pässword@{NAME}:6380/0", f"rediss://user:pässword@{ASCII_NAME}:6380/0"),
        (f"https://{NAME}/path", f"https://{ASCII_NAME}/path"),
        ("unix:/run/redis.sock?db=3", "unix:///run/redis.sock?db=3"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("redis://[ü", "redis://[ü"),
    ],
)
def test_normal_url(url: str, expected: str) -> None:
    assert hosts.normal_url(url) == expected


@pytest.fixture
def certificate_of_the_name(tmp_path: Path) -> Certificate:
    authority = trustme.CA()
    issued = authority.issue_cert(NAME)
    made = Certificate(*(tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem")))
    authority.cert_pem.write_to_path(made.ca_file)
    issued.cert_chain_pems[0].write_to_path(made.cert_file)
    issued.private_key_pem.write_to_path(made.key_file)
    return made


@pytest.fixture
def resolving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the name server know the ASCII name, and it alone."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        return resolve("127.0.0.1" if host in (ASCII_NAME, ASCII_NAME.encode()) else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setenv("NO_PROXY", NAME)


@pytest.mark.usefixtures("resolving")
@pytest.mark.parametrize("route", ["native", "rest"])
def test_name__is_reached_over_tls(valkey: Server, certificate_of_the_name: Certificate, route: str) -> None:
    with ExitStack() as stack:
        rest = stack.enter_context(ScriptedServer(lambda path, document: result("UE9ORw==")))
        upstream = valkey.port if route == "native" else int(rest.url.rpartition(":")[2])
        proxy = stack.enter_context(TLSProxy(upstream, certificate_of_the_name))
        entry = {"URL": f"rediss://{NAME}:{proxy.port}", "CA_CERTS": certificate_of_the_name.ca_file}
        if route == "rest":
            entry |= {"URL": f"https://{NAME}:{proxy.port}", "TOKEN": "t"}
        connection = Connection(make_settings(route, entry))
        assert connection.run(command("PING")) == b"PONG"
        assert asyncio.run(connection.arun(command("PING"))) == b"PONG"
        connection.close()


@pytest.mark.usefixtures("resolving")
def test_name__in_the_host_header() -> None:
    with ScriptedServer(lambda path, document: result("UE9ORw==")) as server:
        port = server.url.rpartition(":")[2]
        entry = {"URL": f"http://{NAME}:{port}", "TOKEN": "t", "ALLOW_PLAINTEXT": True}
        connection = Connection(make_settings("rest", entry))
        assert connection.ping()
        connection.close()
    assert {headers["host"] for _, headers, _ in server.requests} == {f"{ASCII_NAME}:{port}"}


@pytest.mark.parametrize(("exempt", "has_proxy"), [(NAME, False), (ASCII_NAME, False), ("other.example", True)])
def test_name__and_proxies(monkeypatch: pytest.MonkeyPatch, exempt: str, has_proxy: bool) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", exempt)
    endpoint = Endpoint.of(make_settings("rest", {"URL": f"https://{NAME}", "TOKEN": "t"}))
    assert (endpoint.proxy is not None) is has_proxy
    assert endpoint.authority == f"{ASCII_NAME}:443"
    assert endpoint.tunnel_request().startswith(f"CONNECT {ASCII_NAME}:443 ".encode())


@pytest.mark.parametrize("slashes", ["/", "///"])
def test_socket__with_one_slash_or_three(valkey: Server, settings: Any, slashes: str) -> None:
    url = f"unix:{slashes}{str(valkey.socket_path).lstrip('/')}"
    connection = Connection(make_settings("native", {"URL": url}))
    assert connection.run(command("PING")) == b"PONG"
    assert asyncio.run(connection.arun(command("PING"))) == b"PONG"
    assert connection.redis.ping()
    connection.close()
    with LocalServer(url) as server:
        connection = Connection(make_settings("rest", {"URL": server.url, "TOKEN": server.token}))
        assert connection.ping()
        connection.close()


def test_socket__of_a_cache(valkey: Server, settings: Any) -> None:
    from django_upstash.cache import UpstashCache

    settings.UPSTASH = {}
    cache = UpstashCache(f"unix:{valkey.socket_path}", {"KEY_PREFIX": "socket"})
    cache.set("key", "value")
    assert cache.get("key") == "value"
    cache.clear()
