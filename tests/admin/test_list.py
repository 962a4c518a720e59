"""What the list shows: clients, meters, filters, pages, searches, rules and statistics."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from django_upstash.connections import connections
from django_upstash.ratelimit import Concurrency, FixedWindow, RateLimiter, SlidingWindow, TokenBucket
from django_upstash.ratelimit.policy_registry import catalogue
from tests.admin.conftest import LIST, MakeClient, detail_url

pytestmark = pytest.mark.django_db
BOTH = ["user:9", "user:1"]


def page(client: Client, route: str, **parameters: str) -> str:
    answer = client.get(LIST, {"alias": route, **parameters})
    assert answer.status_code == 200
    return answer.content.decode()


def listed(html: str) -> list[str]:
    """Return the keys in the table, in their order."""
    return [key.removeprefix("ratelimit:") for key in re.findall(r'name="selected" value="([^"]+)"', html)]


def most_denied(html: str) -> list[tuple[str, str, int]]:
    """Return who was denied most, in which scope, and how often."""
    _, _, table = html.partition("<h3>Denied most</h3>")
    pattern = r'<th scope="row">([^<]*)</th><td>([^<]*)</td><td>.*?(\d+)</td>'
    return [
        (who, scope, int(count)) for who, scope, count in re.findall(pattern, table.partition("</table>")[0], re.DOTALL)
    ]


def hits(limiter: RateLimiter, **counts: int) -> None:
    for name, count in counts.items():
        for _ in range(count):
            limiter.hit(name.replace("user", "user:"))


def test_row__says_how_full_a_limit_is(operator: Client, limiter: RateLimiter, route: str) -> None:
    hits(limiter, user1=2)
    html = page(operator, route)
    assert '<meter class="upstash-meter" min="0" max="3" value="2" aria-label="2 of 3 used"></meter>' in html
    assert "2/3" in html
    assert "3 in 1 h" in html
    assert "fixed window" in html
    assert re.search(r"[1-5]?\d (min|s)\b", html)


def test_sliding_window_bucket_and_leases__are_read(operator: Client, route: str) -> None:
    policies = [
        SlidingWindow("9/h", scope="ring"),
        TokenBucket("1/h", burst=8, scope="bucket"),
        Concurrency(7, scope="leases"),
    ]
    limiter = RateLimiter(policies, alias=route)
    hits(limiter, user1=2)
    html = page(operator, route)
    assert [f"{text}" for text in ("2/9", "2/8", "2/7") if text not in html] == []


def test_user__is_named_and_linked_where_the_viewer_may_see_users(
    operator: Client, log_in: MakeClient, limiter: RateLimiter, route: str
) -> None:
    ann = get_user_model().objects.create_user("ann")
    limiter.hit(f"user:{ann.pk}")
    limiter.hit("user:nobody")
    limiter.hit(f"user:{2**80}")
    link = f'href="/admin/auth/user/{ann.pk}/change/">ann</a>'
    assert link not in page(operator, route)
    assert link in page(log_in(is_superuser=True), route)


def test_order__is_the_fullest_first_and_can_be_changed(operator: Client, limiter: RateLimiter, route: str) -> None:
    hits(limiter, user1=1, user2=3, user3=2)
    few = {"scope": "few"}
    assert listed(page(operator, route, **few)) == [f"default:few:user:{n}" for n in (2, 3, 1)]
    assert listed(page(operator, route, o="-used", **few)) == [f"default:few:user:{n}" for n in (1, 3, 2)]
    assert listed(page(operator, route, o="who", **few)) == [f"default:few:user:{n}" for n in (1, 2, 3)]
    assert listed(page(operator, route, o="-remaining", **few)) == [f"default:few:user:{n}" for n in (1, 3, 2)]
    assert 'aria-sort="descending"' in page(operator, route)


def test_filters__narrow_down(operator: Client, limiter: RateLimiter, route: str) -> None:
    hits(limiter, user1=1, user2=3)
    other = RateLimiter(SlidingWindow("9/h", scope="whole"), alias=route, tenant="acme")
    hits(other, user1=1)
    assert listed(page(operator, route, scope="few", state="at limit")) == ["default:few:user:2"]
    assert listed(page(operator, route, tenant="acme")) == ["acme:whole:user:1"]
    assert listed(page(operator, route, kind="window")) == ["default:few:user:2", "default:few:user:1"]
    html = page(operator, route, scope="few", state="near limit")
    assert listed(html) == []
    assert "No counter fits." in html


def test_blocked_and_let_pass__are_said(operator: Client, limiter: RateLimiter, route: str) -> None:
    hits(limiter, user1=1, user2=1)
    limiter.block("user:1", 3600)
    limiter.allow("user:2")
    limiter.set_limit("whole", 500)
    assert listed(page(operator, route, state="blocked", scope="few")) == ["default:few:user:1"]
    assert listed(page(operator, route, state="exempt", scope="few")) == ["default:few:user:2"]
    html = page(operator, route)
    assert "/500" in html
    assert html.count("Unblock…") == 1
    assert html.count("Take back…") == 1


def test_search__finds_by_name_in_one_command(operator: Client, limiter: RateLimiter, route: str) -> None:
    hits(limiter, user1=1, user12=1)
    limiter.hit("ann@example.com")
    (digest,) = {key.rpartition(":")[2] for key in listed(page(operator, route)) if "user" not in key}
    assert listed(page(operator, route, q=" user:1 ")) == ["default:few:user:1", "default:whole:user:1"]
    assert len(listed(page(operator, route, q="ann@example.com"))) == 2
    assert len(listed(page(operator, route, q=digest))) == 2
    assert listed(page(operator, route, q="user:2")) == []
    assert len(listed(page(operator, route, q="user:1*"))) == 4
    assert "looked up by name" in page(operator, route, q="user:1")


def test_search__scans_where_no_limiter_is_known(operator: Client, limiter: RateLimiter, route: str) -> None:
    hits(limiter, user1=1, user12=1)
    catalogue.clear()
    assert len(listed(page(operator, route, q="user:1"))) == 2
    RateLimiter(SlidingWindow("9/h", scope="other"), alias=route)
    assert listed(page(operator, route, q="user:1")) == []
    assert len(listed(page(operator, route, q="user:1", everywhere="1"))) == 2


def test_unknown_policy__shows_what_is_stored(operator: Client, limiter: RateLimiter, route: str) -> None:
    hits(limiter, user1=2)
    catalogue.clear()
    html = page(operator, route)
    assert "Limit unknown" in html
    assert "<meter" not in html
    assert len(re.findall(r"(\d+ min|1 h) ?\d*", html)) >= 2  # the keys' own lifetimes


def test_policy_of_another_algorithm__is_not_believed(operator: Client, limiter: RateLimiter, route: str) -> None:
    hits(limiter, user1=2)
    RateLimiter(TokenBucket("9/h", scope="few"), alias=route)
    assert "Limit unknown" in page(operator, route, scope="few")


def test_limiters__are_imported_where_the_setting_names_them(
    operator: Client, limiter: RateLimiter, route: str, settings: Any
) -> None:
    hits(limiter, user1=2)
    catalogue.clear()
    settings.UPSTASH_ADMIN = {**settings.UPSTASH_ADMIN, "LIMITERS": ["tests.admin.named_limiters.limiters"]}
    assert "2/4" in page(operator, route)


def test_rates_of_rest_framework__are_known(operator: Client, route: str, settings: Any) -> None:
    RateLimiter(SlidingWindow("7/day", scope="user"), alias=route).hit("user:1")
    catalogue.clear()
    settings.REST_FRAMEWORK = {"DEFAULT_THROTTLE_RATES": {"user": "7/day", "anon": None, "wrong": "many"}}
    assert "1/7" in page(operator, route)


def test_pages__lead_through_all_counters(operator: Client, limiter: RateLimiter, route: str) -> None:
    for number in range(60):
        limiter.hit(f"user:{number}")
    first, second, third = (listed(page(operator, route, p=str(number))) for number in (1, 2, 3))
    assert [len(first), len(second), len(third)] == [50, 50, 20]
    assert len({*first, *second, *third}) == 120
    assert listed(page(operator, route, p="99")) == third


def test_scan__pauses_and_goes_on(operator: Client, limiter: RateLimiter, route: str, settings: Any) -> None:
    settings.UPSTASH_ADMIN = {**settings.UPSTASH_ADMIN, "SCAN_PAGES": 1}
    redis = connections[route].redis
    redis.mset({f"neighbour:{number}": "" for number in range(4000)})
    hits(limiter, user1=1, user2=1)
    found, url = [], f"{LIST}?alias={route}"
    while url:
        html = operator.get(url).content.decode()
        found += listed(html)
        following = re.search(r'class="upstash-continue" href="([^"]+)"', html)
        assert ("Paused" in html) == bool(following)
        url = LIST + following[1].replace("&amp;", "&") if following else ""
    assert sorted(found) == sorted(f"default:{scope}:user:{n}" for scope in ("few", "whole") for n in (1, 2))


def test_statistics__are_drawn_where_they_are_counted(operator: Client, route: str) -> None:
    limiter = RateLimiter(SlidingWindow("2/h", scope="search"), alias=route, statistics=True)
    hits(limiter, user1=5)
    limiter.write_statistics()
    html = page(operator, route)
    assert "2 allowed" in html
    assert "3 denied" in html
    assert "upstash-chart" in html
    assert "of 5 decisions" in html
    assert 'aria-label="Decisions in the last 1 d: 2 allowed, 3 denied."' in page(operator, route, period="86400")
    detail = operator.get(detail_url("ratelimit:default:search:user:1"), {"alias": route}).content.decode()
    assert "In the five minutes from" in detail


def test_statistics__count_a_decision_of_two_policies_once(operator: Client, route: str) -> None:
    limiter = RateLimiter(
        [SlidingWindow("100/h", scope="hour"), SlidingWindow("2/min", scope="minute")], alias=route, statistics=True
    )
    hits(limiter, user1=5)
    limiter.write_statistics()
    html = page(operator, route)
    assert "of 5 decisions" in html
    assert 'aria-label="Decisions in the last 1 h: 2 allowed, 3 denied."' in html
    assert most_denied(html) == [("user:1", "minute", 3)]


@pytest.mark.parametrize(
    ("filters", "tile", "label", "denied"),
    [
        ({"scope": "search"}, (3, "of 6 decisions"), "Decisions in the last 1 h: 3 allowed, 3 denied.", BOTH),
        ({"scope": "checkout"}, (0, "of 1 decisions"), "Decisions in the last 1 h: 1 allowed, 0 denied.", []),
        ({"kind": "window"}, (4, "of 5 decisions"), "Decisions in the last 1 h: 1 allowed, 4 denied.", ["user:2"]),
        ({"q": "user:1"}, (1, "of these clients"), "Denials in the last 1 h: 1.", ["user:1"]),
        ({"q": "user:*"}, (7, "of these clients"), "Denials in the last 1 h: 7.", ["user:2", *BOTH]),
        ({"q": "nobody"}, (0, "of these clients"), "Denials in the last 1 h: 0.", []),
        ({"state": "at limit", "scope": "search"}, (3, "of these clients"), "Denials in the last 1 h: 3.", BOTH),
        ({"state": "near limit"}, (0, "of these clients"), "Denials in the last 1 h: 0.", []),
        ({"tenant": "acme"}, (2, "of 3 decisions"), "Decisions in the last 1 h: 1 allowed, 2 denied.", ["user:9"]),
    ],
)
def test_filters__narrow_the_statistics_too(
    operator: Client, route: str, filters: dict[str, str], tile: tuple[int, str], label: str, denied: list[str]
) -> None:
    RateLimiter(SlidingWindow("3/h", scope="checkout"), alias=route, statistics=True).hit("user:3")
    hits(RateLimiter(SlidingWindow("2/h", scope="search"), alias=route, statistics=True), user1=3)
    by_window = RateLimiter(FixedWindow("1/h", scope="export"), alias=route, statistics=True)
    hits(by_window, user2=5)
    by_window.write_statistics()
    acme = RateLimiter(SlidingWindow("1/h", scope="search"), alias=route, tenant="acme", statistics=True)
    hits(acme, user9=3)
    acme.write_statistics()
    html = page(operator, route, **filters)
    assert (f"<strong>{tile[0]}</strong>" in html, tile[1] in html) == (True, True)
    assert f'aria-label="{label}"' in html
    assert [who for who, _scope, _count in most_denied(html)] == denied


def test_statistics__are_explained_where_they_are_off(operator: Client, limiter: RateLimiter, route: str) -> None:
    html = page(operator, route)
    assert "upstash-chart" not in html
    assert '"STATISTICS": True' in html
    assert "a tenth of a command" in html


def test_detail__shows_the_decision_and_other_scopes(operator: Client, limiter: RateLimiter, route: str) -> None:
    hits(limiter, user1=3)
    html = operator.get(detail_url("ratelimit:default:few:user:1"), {"alias": route}).content.decode()
    assert "At limit" in html
    assert "3/3" in html
    assert "3/100" in html  # in the other scope
    ended = operator.get(detail_url("ratelimit:default:few:user:2"), {"alias": route}).content.decode()
    assert "Nothing is used" in ended


@pytest.mark.parametrize("key", ["session:1", "ratelimit:default:few:", "ratelimit:a%2f:b:c", "\x00"])
def test_detail__of_what_is_no_counter_is_not_found(operator: Client, key: str) -> None:
    assert operator.get(detail_url(key)).status_code == 404


def test_live__is_the_parts_that_change(operator: Client, limiter: RateLimiter, route: str) -> None:
    hits(limiter, user1=1)
    html = page(operator, route)
    (url,) = re.findall(r'data-live-url="([^"]+)"', html)
    hits(limiter, user1=1)
    fresh = operator.get(LIST + url.replace("&amp;", "&")).content.decode()
    assert "2/3" in fresh
    assert "<html" not in fresh
    (detail,) = re.findall(
        r'data-live-url="([^"]+)"',
        operator.get(detail_url("ratelimit:default:few:user:1"), {"alias": route}).content.decode(),
    )
    fresh = operator.get(detail_url("ratelimit:default:few:user:1") + detail.replace("&amp;", "&")).content.decode()
    assert fresh.lstrip().startswith('<div data-part="decision">')


@pytest.mark.parametrize("packed", ["", "x", "!!!!", "eJwDAAAAAAE", "eJyLjgUAARUAuQ"])
def test_live__survives_what_is_no_page(operator: Client, limiter: RateLimiter, route: str, packed: str) -> None:
    assert operator.get(LIST, {"alias": route, "_live": "1", "rows": packed}).status_code == 200


def test_refresh__can_be_left_to_the_reader(operator: Client, limiter: RateLimiter, route: str, settings: Any) -> None:
    settings.UPSTASH_ADMIN = {**settings.UPSTASH_ADMIN, "REFRESH": None}
    assert "data-live-url" not in page(operator, route)


@pytest.mark.parametrize(
    "parameters",
    [
        {"alias": "nowhere"},
        {"o": "password", "p": "x", "cursor": "-1", "state": "x", "kind": "x", "period": "x"},
        {"cursor": "9" * 20, "p": "9" * 30},
        {"tenant": b"\xff", "scope": "\x00", "q": b"\xff*"},
        {"q": "*" * 500},
    ],
)
def test_parameters__that_make_no_sense_are_passed_over(
    operator: Client, limiter: RateLimiter, parameters: dict[str, str | bytes]
) -> None:
    assert operator.get(LIST, parameters).status_code == 200


def test_search__for_an_address_finds_its_network(operator: Client, limiter: RateLimiter, route: str) -> None:
    limiter.hit("2001:db8:1:2::/64")
    html = operator.get(LIST, {"alias": route, "q": "2001:DB8:1:2::9"}).content.decode()
    assert "ratelimit:default:few:2001:db8:1:2::/64" in html
