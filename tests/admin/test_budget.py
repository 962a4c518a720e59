"""What the pages cost, counted by the servers: the same among a million keys as among a hundred."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from django_upstash.ratelimit import RateLimiter
from django_upstash.ratelimit.policy_registry import catalogue
from tests.admin.conftest import LIST, WHOLE, Cost, detail_url
from tests.servers import Server

pytestmark = pytest.mark.django_db
_MILLION = "for n = tonumber(ARGV[1]), tonumber(ARGV[2]) do redis.call('SET', ARGV[3] .. n, ARGV[4]) end"
million = pytest.param(1_000_000, marks=pytest.mark.slow)


def fill(valkey: Server, count: int, prefix: str, value: str = "") -> None:
    for first in range(1, count + 1, 100_000):
        last = min(count, first + 99_999)
        valkey.call("EVAL", _MILLION, "0", str(first), str(last), prefix, value)


def warm(client: Client, route: str) -> None:
    client.get(LIST, {"alias": route, "q": "user:0"})  # the process learns the server's time


def beyond_scans(cost: Cost) -> tuple[int, int]:
    return cost["requests"] - cost["scans"], cost["commands"] - cost["scans"]


@pytest.mark.parametrize("keys", [100, 10_000, million])
def test_page__of_known_policies(
    operator: Client, limiter: RateLimiter, route: str, valkey: Server, counting: Any, keys: int
) -> None:
    limiter.hit("user:0")
    fill(valkey, keys, "ratelimit:default:whole:user:", valkey.call("GET", "ratelimit:default:whole:user:0").decode())
    warm(operator, route)
    with counting() as cost:
        html = operator.get(LIST, {"alias": route}).content.decode()
    assert html.count('name="selected"') == 50
    assert cost["scans"] == 1
    assert beyond_scans(cost) == (1, 3), cost  # DBSIZE, the rules, and all states by one MGET
    assert set(cost["by_command"]) == {"scan", "dbsize", "hgetall", "mget"}


@pytest.mark.parametrize("keys", [100, 10_000, million])
def test_page__of_unknown_policies(
    operator: Client, limiter: RateLimiter, route: str, valkey: Server, counting: Any, keys: int
) -> None:
    limiter.hit("user:0")
    fill(valkey, keys, "ratelimit:default:whole:user:", valkey.call("GET", "ratelimit:default:whole:user:0").decode())
    warm(operator, route)
    catalogue.clear()
    with counting() as cost:
        html = operator.get(LIST, {"alias": route}).content.decode()
    assert html.count('name="selected"') == 50
    requests, commands = beyond_scans(cost)
    assert (requests, commands) == (2, 53)
    assert commands <= 60


@pytest.mark.parametrize("tenants", [1, 70])
def test_page__of_many_tenants(
    operator: Client, route: str, valkey: Server, counting: Any, settings: Any, tenants: int
) -> None:
    settings.UPSTASH_RATELIMIT = {**settings.UPSTASH_RATELIMIT, "STATISTICS": True}
    for number in range(tenants):
        RateLimiter(WHOLE, alias=route, tenant=f"tenant {number}").hit("user:1")
    warm(operator, route)
    catalogue.clear()
    with counting() as cost:
        operator.get(LIST, {"alias": route})
    requests, commands = beyond_scans(cost)
    assert requests == 2
    assert commands <= 60


@pytest.mark.parametrize("neighbours", [100, 10_000, million])
def test_scan__is_bounded_and_stays_in_its_own_prefix(
    operator: Client, limiter: RateLimiter, route: str, valkey: Server, counting: Any, settings: Any, neighbours: int
) -> None:
    settings.UPSTASH_ADMIN = {**settings.UPSTASH_ADMIN, "SCAN_PAGES": 5}
    fill(valkey, neighbours, "neighbour:")
    limiter.hit("user:0")
    warm(operator, route)
    with counting() as cost:
        html = operator.get(LIST, {"alias": route}).content.decode()
    assert cost["scans"] <= 5
    assert beyond_scans(cost)[0] <= 1
    assert "keys" not in cost["by_command"]
    assert "neighbour:" not in html
    assert ("Continue the scan" in html) == (neighbours > 5000)


@pytest.mark.parametrize("keys", [100, million])
def test_exact_search__is_one_command(
    operator: Client, limiter: RateLimiter, route: str, valkey: Server, counting: Any, keys: int
) -> None:
    fill(valkey, keys, "neighbour:")
    limiter.hit("user:1")
    warm(operator, route)
    with counting() as cost:
        html = operator.get(LIST, {"alias": route, "q": "user:1"}).content.decode()
    assert html.count('name="selected"') == 2
    assert cost["by_command"] == {"mget": 1, "dbsize": 1, "hgetall": 1}


def test_refresh__costs_what_the_page_says(
    operator: Client, limiter: RateLimiter, route: str, valkey: Server, counting: Any
) -> None:
    limiter.hit("user:0")
    fill(valkey, 3000, "ratelimit:default:whole:user:", valkey.call("GET", "ratelimit:default:whole:user:0").decode())
    for known in (True, False):
        if not known:
            catalogue.clear()
        html = operator.get(LIST, {"alias": route}).content.decode()
        (url,) = re.findall(r'data-live-url="([^"]+)"', html)
        said = re.search(r"Each refresh, every 5 s: (\d) requests?, (\d+) commands", html)
        assert said
        with counting() as cost:
            fresh = operator.get(LIST + url.replace("&amp;", "&")).content.decode()
        assert fresh.count('name="selected"') == 50
        assert (cost["requests"], cost["commands"]) == (int(said[1]), int(said[2]))
        assert cost["scans"] == 0
        assert len(url) < 4000


def test_detail__is_one_request(operator: Client, limiter: RateLimiter, route: str, counting: Any) -> None:
    limiter.hit("user:1")
    warm(operator, route)
    with counting() as cost:
        operator.get(detail_url("ratelimit:default:few:user:1"), {"alias": route})
    assert (cost["requests"], cost["commands"]) == (1, 3)


@pytest.mark.parametrize(
    ("action", "form", "asking", "doing"),
    [
        ("reset", {"selected": ["ratelimit:default:few:user:1", "ratelimit:default:few:user:2"]}, 3, 1),
        ("block", {"selected": ["ratelimit:default:few:user:1", "ratelimit:default:few:user:2"]}, 3, 1),
        ("unblock", {"tenant": "default", "stored": "user:1"}, 0, 1),
        ("limit", {"tenant": "default", "scope": "few", "limit": "7"}, 0, 1),
    ],
)
def test_actions__cost_one_command(
    operator: Client, limiter: RateLimiter, route: str, counting: Any, action: str, form: Any, asking: int, doing: int
) -> None:
    limiter.hit("user:1")
    warm(operator, route)
    with counting() as cost:
        operator.post(f"{LIST}do/{action}/", {"alias": route, **form})
    assert cost["commands"] == asking
    with counting() as cost:
        operator.post(f"{LIST}do/{action}/", {"alias": route, **form, "_confirmed": "1"})
    assert (cost["requests"], cost["commands"]) == (1, doing)
