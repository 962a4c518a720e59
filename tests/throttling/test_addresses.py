"""Where a request comes from: what a client sends of itself gains it nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest
from django.test import RequestFactory

from django_upstash.ratelimit import RateLimiter, SlidingWindow
from django_upstash.ratelimit.web import client_address
from django_upstash.ratelimit.web import client_addresses as addresses
from django_upstash.throttling import AnonRateThrottle
from tests import hostile
from tests.throttling.conftest import serve

pytestmark = pytest.mark.matrix

Configure = Callable[..., None]
PEER = "203.0.113.7"


class Once(AnonRateThrottle):
    rate = "1/h"


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_warned", [])


def found(forwarded: str | None = None, peer: str = PEER) -> str:
    given: Any = {} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded}
    return client_address(RequestFactory().get("/", REMOTE_ADDR=peer, **given))


@pytest.mark.parametrize("forwarded", ["198.51.100.1", "198.51.100.1, 192.0.2.1", "not an address", ""])
def test_header__is_not_believed(forwarded: str) -> None:
    assert found(forwarded) == PEER


def test_header__is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    found()
    assert caplog.records == []
    for _ in range(3):
        found("198.51.100.1")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert 'UPSTASH_RATELIMIT["TRUSTED_PROXIES"]' in record.getMessage()
    assert "198.51.100.1" not in record.getMessage()


@pytest.mark.parametrize(
    ("number", "forwarded", "expected"),
    [
        (0, "198.51.100.1", PEER),
        (1, None, PEER),
        (1, "198.51.100.1", "198.51.100.1"),
        (1, "192.0.2.9, 198.51.100.1", "198.51.100.1"),
        (2, "192.0.2.9, 198.51.100.1, 10.0.0.1", "198.51.100.1"),
        (5, "192.0.2.9, 198.51.100.1", "192.0.2.9"),
        (1, "198.51.100.1:4711", "198.51.100.1"),
        (1, "[2001:db8::1]:4711", "2001:db8::/64"),
        (1, "made up", PEER),
        (1, "x" * 10_000, PEER),
    ],
)
@pytest.mark.parametrize("setting", ["ours", "rest_framework"])
def test_num_proxies__as_rest_framework_documents_it(
    setting: str, number: int, forwarded: str | None, expected: str, settings: Any, configure: Configure
) -> None:
    if setting == "ours":
        configure(NUM_PROXIES=number)
    else:
        settings.REST_FRAMEWORK = {"NUM_PROXIES": number}
    assert found(forwarded) == expected


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        (None, "10.0.0.1"),
        ("198.51.100.1", "198.51.100.1"),
        ("192.0.2.9, 198.51.100.1", "198.51.100.1"),
        ("192.0.2.9, 198.51.100.1, 10.9.9.9", "198.51.100.1"),
        ("10.3.3.3, 10.2.2.2", "10.3.3.3"),
        ("192.0.2.9, unknown, 10.2.2.2", "10.2.2.2"),
        ("198.51.100.1, fd00::5", "198.51.100.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("198.51.100.1,", "10.0.0.1"),
    ],
)
def test_trusted_proxies__are_passed_over(
    forwarded: str | None, expected: str, settings: Any, configure: Configure
) -> None:
    settings.REST_FRAMEWORK = {"NUM_PROXIES": 7}
    configure(TRUSTED_PROXIES=["10.0.0.0/8", "fd00::/8"])
    assert found(forwarded, peer="10.0.0.1") == expected


def test_trusted_proxies__do_not_let_others_speak(configure: Configure, caplog: pytest.LogCaptureFixture) -> None:
    configure(TRUSTED_PROXIES=["10.0.0.0/8"])
    assert found("198.51.100.1") == PEER
    assert caplog.records == []


def test_trusted_proxies__by_a_unix_socket(configure: Configure) -> None:
    configure(TRUSTED_PROXIES=["10.0.0.0/8"])
    assert found("198.51.100.1", peer="") == "unknown"
    configure(TRUSTED_PROXIES=["unix"])
    assert found("198.51.100.1", peer="") == "198.51.100.1"


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", "unknown"),
        ("@", "unknown"),
    ],
)
def test_peer__as_it_is_counted(peer: str, expected: str) -> None:
    assert found(peer=peer) == expected


@pytest.mark.parametrize(
    "proxy",
    ["::ffff:10.0.0.9", "::ffff:10.0.0.0/104", "64:ff9b::10.0.0.9", "64:ff9b::a00:0/104", "10.0.0.9", "0.0.0.0/0"],
)
@pytest.mark.parametrize("peer", ["10.0.0.9", "::ffff:10.0.0.9", "::FFFF:0A00:0009", "64:ff9b::a00:9"])
def test_trusted_proxies__in_any_form_of_an_ipv4_address(proxy: str, peer: str, configure: Configure) -> None:
    configure(TRUSTED_PROXIES=[proxy])
    assert found("203.0.113.5", peer=peer) == "203.0.113.5"
    assert found("64:ff9b::203.0.113.5", peer=peer) == "203.0.113.5"


def test_peer__is_the_last_where_a_runtime_puts_the_whole_header_there(configure: Configure) -> None:
    assert found(peer="198.51.100.1, 203.0.113.7") == "203.0.113.7"
    assert found(peer="203.0.113.7,") == "unknown"
    configure(TRUSTED_PROXIES=["203.0.113.7"])
    assert found("198.51.100.1, 203.0.113.7", peer="198.51.100.1, 203.0.113.7") == "198.51.100.1"


def by_header(value: str | None, peer: str = PEER) -> str:
    given: Any = {} if value is None else {"HTTP_CF_CONNECTING_IP": value}
    request = RequestFactory().get("/", REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR="192.0.2.66", **given)
    return client_address(request)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("198.51.100.1", "198.51.100.1"),
        (" 198.51.100.1:4711 ", "198.51.100.1"),
        ("[2001:db8::1]:4711", "2001:db8::/64"),
        ("2001:db8::1", "2001:db8::/64"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("192.0.2.9, 198.51.100.1", "198.51.100.1"),
        (None, PEER),
        ("", PEER),
        ("made up", PEER),
        ("198.51.100.1,", PEER),
        ("x" * 10_000, PEER),
    ],
)
def test_client_ip_header__is_the_edges_word(value: str | None, expected: str, configure: Configure) -> None:
    configure(CLIENT_IP_HEADER="CF-Connecting-IP", NUM_PROXIES=1)
    assert by_header(value) == expected


def test_client_ip_header__counts_only_from_trusted_proxies_where_there_are_some(configure: Configure) -> None:
    configure(CLIENT_IP_HEADER="cf-connecting-ip", TRUSTED_PROXIES=["::ffff:10.0.0.0/104", "unix"])
    assert by_header("198.51.100.1", peer="10.0.0.1") == "198.51.100.1"
    assert by_header("198.51.100.1", peer="") == "198.51.100.1"
    assert by_header("198.51.100.1") == PEER


@pytest.mark.usefixtures("on_route")
def test_throttle__is_not_fooled_by_headers() -> None:
    spoofed = [f"198.51.100.{number}" for number in range(20)]
    assert [serve(Once, HTTP_X_FORWARDED_FOR=address).status_code for address in spoofed].count(200) == 1


@pytest.mark.usefixtures("on_route")
def test_throttle__counts_a_network_of_ipv6_as_one() -> None:
    peers = [f"2001:db8::{number:x}" for number in range(1, 20)]
    assert [serve(Once, address=peer).status_code for peer in peers].count(200) == 1


@pytest.mark.usefixtures("on_route")
def test_throttle__obeys_rest_frameworks_number(settings: Any) -> None:
    settings.REST_FRAMEWORK = {"NUM_PROXIES": 1}
    addresses = ["198.51.100.1", "198.51.100.2", "198.51.100.1"]
    assert [serve(Once, HTTP_X_FORWARDED_FOR=address).status_code for address in addresses] == [200, 200, 429]


@pytest.mark.usefixtures("on_route")
def test_block__of_a_network_reaches_its_clients(route: str) -> None:
    limiter = RateLimiter(SlidingWindow("1/h", scope="anon/3600s"), alias=route)
    limiter.block("2001:db8::/32")
    limiter.block("203.0.113.0/24")
    assert [serve(Once, address=peer).status_code for peer in ("2001:db8:1::1", "203.0.113.9", "192.0.2.1")] == [
        429,
        429,
        200,
    ]


def is_an_address(text: str) -> bool:
    """Tell whether a text is an address, or the /64 of one, in its shortest form."""
    try:
        network = ip_network(text)
    except ValueError:
        return False
    return str(network).removesuffix("/32") == text and network.prefixlen in (32, 64)


@pytest.mark.default_cases(61)
@pytest.mark.parametrize("text", [*hostile.texts(), *hostile.addresses()])
@pytest.mark.parametrize("before", ["", "192.0.2.9, ", "198.51.100.300, ,"])
def test_hostile_headers__name_an_address_or_nobody(text: str, before: str, configure: Configure) -> None:
    configure(CLIENT_IP_HEADER="CF-Connecting-IP")
    assert is_an_address(by_header(before + text))
    configure(NUM_PROXIES=2)
    assert is_an_address(found(before + text))
    configure(TRUSTED_PROXIES=["0.0.0.0/0", "::/0"])
    assert is_an_address(found(before + text))
    assert is_an_address(found(before + text, peer=text)) or found(before + text, peer=text) == addresses.UNKNOWN
