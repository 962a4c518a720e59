from __future__ import annotations

import pytest

from django_upstash.settings import hosts


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "localhost", "LOCALHOST", "localhost.", "a.localhost"]
)
def test_is_loopback__this_machine(host: str) -> None:
    assert hosts.is_loopback(host)
    assert hosts.is_private(host)


@pytest.mark.parametrize("host", [None, "", "10.0.0.1", "redis", "notlocalhost", "localhost.example.com", "0.0.0.0"])
def test_is_loopback__elsewhere(host: str | None) -> None:
    assert not hosts.is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        *("10.1.2.3", "172.16.0.1", "192.168.0.9", "100.64.0.1", "169.254.1.1", "fd12::1", "fe80::1%eth0", "redis"),
        *("redis.local", "redis.internal", "cache.prod.svc", "cache.svc.cluster.local", "nas.home.arpa", "my_redis"),
        *("fly-shop-cache.upstash.io", "FLY-shop.upstash.io."),
    ],
)
def test_is_private__not_of_the_public_internet(host: str) -> None:
    assert hosts.is_private(host)
    assert hosts.is_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "8.8.8.8",
        "172.32.0.1",
        "2606:4700::1111",
        "::ffff:8.8.8.8",
        "example.com",
        "eu1-x.upstash.io",
        "local.io",
        "fly-x.io",
        "x.fly-y.upstash.io",
    ],
)
def test_is_private__public(host: str) -> None:
    assert not hosts.is_private(host)
    assert hosts.is_host(host)


@pytest.mark.parametrize(
    "host", ["", "134744072", "0x08080808", "8.8.2056", "10.1", "a b", "<host>", "a,b", "::g", "."]
)
def test_is_host__neither_name_nor_address(host: str) -> None:
    assert not hosts.is_host(host)
    assert not hosts.is_private(host)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("eu1-x.upstash.io", True),
        ("EU1-X.UPSTASH.IO.", True),
        ("upstash.io.example.com", False),
        ("evilupstash.io", False),
        (None, False),
    ],
)
def test_is_upstash(host: str | None, expected: bool) -> None:
    assert hosts.is_upstash(host) is expected
