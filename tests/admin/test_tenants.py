"""The pages of tenants: which are found, what they use and take, what that costs, and that nothing can be changed."""

from __future__ import annotations

import html as html_module
import re
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.test import Client, override_settings
from django.utils import translation

from django_upstash.connections import connections
from django_upstash.models import TenantUsage
from django_upstash.operations.keys import percent_encoded
from django_upstash.ratelimit import FixedWindow
from django_upstash.tenants import Tenant
from django_upstash.tenants.report import periods
from django_upstash.tenants.tenant_keys import space
from tests.admin.conftest import MakeClient
from tests.servers import Server

pytestmark = pytest.mark.django_db
PAGE = "/admin/django_upstash/tenantusage/"
BACKEND = "django_upstash.cache.UpstashCache"
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def viewer(log_in: MakeClient) -> Client:
    return log_in("view_tenantusage")


@pytest.fixture(autouse=True)
def _tenants(settings: Any, route: str) -> None:
    settings.CACHES = {"default": {"BACKEND": BACKEND, "LOCATION": route, "KEY_PREFIX": "shop"}}
    settings.UPSTASH_TENANTS = {"ALIAS": route, "REFRESH": 3600}


def used(name: str, **amounts: int) -> Tenant:
    tenant = Tenant(name)
    for what, amount in amounts.items():
        tenant.usage.add(what, amount)
    tenant.usage.flush()
    return tenant


def detail(name: str) -> str:
    return f"{PAGE}{quote(percent_encoded(name))}/change/"


def shown(client: Client, url: str = PAGE, **parameters: str) -> str:
    answer = client.get(url, parameters)
    assert answer.status_code == 200
    return answer.content.decode()


def warm(client: Client) -> None:
    """Let the connection find out what it has to, once."""
    shown(client, q="nobody")


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", text)).strip().replace("\u2013", "-")


def listed(html: str) -> list[str]:
    rows = re.findall(r'<th scope="row" class="field-who".*?</tr>', html, re.DOTALL)
    return [plain(row.replace("</th>", ":")) for row in rows]


def test_list__shows_what_tenants_use(viewer: Client) -> None:
    used("acme", tokens=12_000, calls=3)
    Tenant("zenith").configure(plan="gold")
    Tenant("only cached").cache.set("greeting", "hello")
    html = shown(viewer)
    assert listed(html) == ["acme: tokens 12,000 · calls 3", "only cached: -", "zenith: -"]
    assert "gold" not in html
    assert re.findall(r"<strong>([^<]+)</strong> <span>", html) == ["3", "Complete"]


def test_list__of_another_period(viewer: Client) -> None:
    now, before = periods(2)
    used("acme", tokens=1)
    connections[space().settings.alias].redis.hset(space().usage("acme", before), "tokens", "77")
    assert listed(shown(viewer)) == ["acme: tokens 1"]
    assert listed(shown(viewer, period=before)) == ["acme: tokens 77"]
    assert listed(shown(viewer, period="209912")) == ["acme: tokens 1"]
    assert f'<option value="{now}" selected>' in shown(viewer)


def test_periods__are_months_or_days(settings: Any) -> None:
    months = periods(25)
    assert [int(month[4:]) for month in months[:13]] == [(int(months[0][4:]) - 1 - back) % 12 + 1 for back in range(13)]
    assert int(months[24]) == int(months[0]) - 200
    settings.UPSTASH_TENANTS = {**settings.UPSTASH_TENANTS, "PERIOD": "day"}
    assert len({day for day in periods(12) if len(day) == 8}) == 12


def test_search__by_name_and_by_beginning(viewer: Client, counting: Any) -> None:
    for name in ("acme", "acme 2", "ac*", "zenith"):
        used(name, tokens=1)
    warm(viewer)
    with counting() as cost:
        assert listed(shown(viewer, q=" acme ")) == ["acme: tokens 1"]
    assert (cost["requests"], cost["by_command"]) == (1, {"dbsize": 1, "hgetall": 1})
    assert [row.split(":")[0] for row in listed(shown(viewer, q="ac*"))] == ["ac*", "acme", "acme 2"]
    assert listed(shown(viewer, q="x" * 200)) == []


def test_pages__lead_through_all(viewer: Client) -> None:
    for number in range(60):
        connections[space().settings.alias].redis.hset(space().record(f"tenant {number:02}"), "config a", "1")
    pages = [listed(shown(viewer, p=page)) for page in ("1", "2", "99")]
    assert [len(page) for page in pages] == [50, 10, 10]
    assert pages[1] == pages[2]


def test_scan__pauses_and_goes_on(viewer: Client, settings: Any, route: str) -> None:
    settings.UPSTASH_ADMIN = {**settings.UPSTASH_ADMIN, "SCAN_PAGES": 1}
    connections[route].redis.mset({f"neighbour:{number}": "" for number in range(4000)})
    names = ["acme", "zenith"]
    for name in names:
        used(name, tokens=1)
    found, url = set[str](), PAGE
    while url:
        html = shown(viewer, url)
        found |= {row.split(":")[0] for row in listed(html)}
        following = re.search(r'class="upstash-continue" href="([^"]+)"', html)
        assert ("Paused" in html) == bool(following)
        url = PAGE + following[1].replace("&amp;", "&") if following else ""
    assert sorted(found) == names


def test_detail__shows_periods_and_names_without_values(viewer: Client) -> None:
    _now, before = periods(2)
    tenant = used("acme", tokens=5, calls=1)
    tenant.configure(api_key="sk-secret", plan="gold")
    connections[space().settings.alias].redis.hset(space().usage("acme", before), "tokens", "7000")
    html = shown(viewer, detail("acme"))
    (table,) = re.findall(r'aria-label="What it has used"><table>(.*?)</table>', html, re.DOTALL)
    rows = [plain(row) for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)]
    assert rows[0] == "Periodtokenscalls"
    assert rows[1].endswith("51")
    assert rows[2].endswith("7,000-")
    assert "api_key, plan" in html
    assert "sk-secret" not in html
    assert "gold" not in html
    assert "≥" not in html


def test_measure__counts_the_tenants_keys_and_no_others(viewer: Client, route: str) -> None:
    tenant = used("acme", tokens=5)
    used("acme2", tokens=5)
    tenant.configure(plan="gold")
    tenant.limiter(FixedWindow("5/h", scope="few")).hit("user:1")
    for number in range(20):
        tenant.cache.set(f"key-{number}", "x" * 100)
    Tenant("acme2").cache.set("key", "value")
    connections[route].redis.set("note about acme", "")
    html = shown(viewer, detail("acme"), measure="1")
    rows = [plain(row) for row in re.findall(r"<tr>(<th scope=\"row\">.*?)</tr>", html, re.DOTALL)]
    counts = {
        match[1]: int(match[2]) for row in rows if (match := re.match(r"(config|limits|cache:default)(\d+)", row))
    }
    expected = {measure.name: measure.keys for measure in tenant.measure()}
    assert expected["cache:default"] == 20
    for kind in counts:
        assert f'<th scope="row">{kind}</th><td class="upstash-number">{expected[kind]}</td>' in html
    assert set(counts) == {"config", "limits", "cache:default"}
    assert "≥" not in html


def test_tenant_of_whom_nothing_is_stored__is_not_found(viewer: Client, route: str, settings: Any) -> None:
    used("acme", tokens=1)
    Tenant("only cached").cache.set("key", "value")
    assert viewer.get(detail("doesnotexist")).status_code == 404
    assert "cache:default" in shown(viewer, detail("only cached"))
    settings.UPSTASH_ADMIN = {**settings.UPSTASH_ADMIN, "SCAN_PAGES": 1}
    connections[route].redis.mset({f"neighbour:{number}": "" for number in range(4000)})
    assert "Not all keys were looked at" in shown(viewer, detail("doesnotexist"))  # there may be some


def test_measure__counts_one_database_once(viewer: Client, settings: Any, route: str, counting: Any) -> None:
    cache = settings.CACHES["default"]
    settings.CACHES = {"default": {**cache, "LOCATION": "native"}, "rest": {**cache, "LOCATION": "rest"}}
    Tenant("acme").cache.set("key", "x" * 100)
    html = shown(viewer, detail("acme"), measure="1")
    assert '<th scope="row">cache:default, cache:rest</th><td class="upstash-number">1</td>' in html
    assert '<th scope="row">cache:rest</th>' not in html


def test_measure__is_bounded(viewer: Client, settings: Any, valkey: Server, route: str, counting: Any) -> None:
    settings.UPSTASH_ADMIN = {**settings.UPSTASH_ADMIN, "SCAN_PAGES": 2}
    connections[route].redis.mset({f"neighbour:{number}": "" for number in range(6000)})
    used("acme", tokens=1)
    warm(viewer)
    with counting() as cost:
        html = shown(viewer, detail("acme"), measure="1")
    assert cost["scans"] == 2
    assert cost["commands"] <= 13 + 2 + 2
    assert "≥" in html
    assert "Not all keys were looked at" in html
    said = re.search(r"This page: (\d+) requests, (\d+) commands", html)
    assert said
    assert (int(said[1]), int(said[2])) == (cost["requests"], cost["commands"])


@pytest.mark.parametrize("neighbours", [0, 10_000])
def test_page__costs_what_it_says(
    viewer: Client, settings: Any, valkey: Server, route: str, counting: Any, neighbours: int
) -> None:
    settings.UPSTASH_ADMIN = {**settings.UPSTASH_ADMIN, "SCAN_PAGES": 5}
    for number in range(60):
        connections[route].redis.hset(space().usage(f"tenant {number:02}", "202601"), "tokens", "1")
    if neighbours:
        connections[route].redis.mset({f"neighbour:{number}": "" for number in range(neighbours)})
    warm(viewer)
    with counting() as cost:
        html = shown(viewer)
    rows = len(listed(html))
    assert rows == 50 or neighbours
    assert cost["scans"] == (5 if neighbours else 1)
    assert cost["requests"] == cost["scans"] + 1
    assert cost["by_command"] == {"scan": cost["scans"], "dbsize": 1} | ({"hgetall": rows} if rows else {})
    assert f"This page: {cost['requests']} requests, {cost['commands']} commands." in html
    assert "A page costs at most 6 requests, 56 commands" in html
    assert "data-live-url" not in html


def test_detail__is_one_request(viewer: Client, counting: Any) -> None:
    used("acme", tokens=1)
    warm(viewer)
    with counting() as cost:
        html = shown(viewer, detail("acme"))
    assert (cost["requests"], cost["by_command"]) == (1, {"hgetall": 13})
    assert "This page: 1 request, 13 commands." in html


def test_permissions__only_let_look(log_in: MakeClient, viewer: Client, settings: Any) -> None:
    nobody, boss = log_in("view"), log_in(is_superuser=True)
    assert [nobody.get(url).status_code for url in (PAGE, detail("acme"))] == [403, 403]
    assert b">Tenants<" not in nobody.get("/admin/").content
    assert Client().get(PAGE).headers["location"].startswith("/admin/login/")
    for client in (viewer, boss):
        index = client.get("/admin/").content.decode()
        assert re.search(rf'href="{PAGE}" class="viewlink"', index)
        assert client.post(PAGE).status_code == 405
        assert client.post(detail("acme"), {"key": "x"}).status_code == 405
        assert client.get(f"{PAGE}add/").status_code == 403
        assert client.post(f"{detail('acme')[:-7]}delete/", {"post": "yes"}).status_code == 404
        assert client.post(f"{PAGE}do/erase/").status_code == 404
        assert 'method="post"' not in shown(client).replace('id="logout-form" method="post"', "")


@override_settings(ROOT_URLCONF="tests.admin.test_integration")
def test_custom_site__has_the_pages_too(log_in: MakeClient) -> None:
    used("acme", tokens=1)
    client = log_in(is_superuser=True)
    ops = PAGE.replace("/admin/", "/ops/", 1)
    assert f'href="{ops}"' in client.get("/ops/").content.decode()
    html = shown(client, ops) + shown(client, f"{ops}acme/change/")
    assert f'href="{ops}acme/change/?alias=' in html
    assert 'href="/admin/' not in html


@pytest.mark.parametrize("name", [SCRIPT, '"><img src=x>', "../../x", "a:b{c}d*", "\u202e\x00\x1b[31m\n", "\ud800"])
def test_hostile_name__is_only_text(viewer: Client, name: str) -> None:
    used(name, tokens=1)
    tenant = Tenant(name)
    tenant.configure(**{SCRIPT: 1})
    tenant.usage.add(SCRIPT, 2)
    tenant.usage.add("\x1b[31m\u202e", -1)
    tenant.usage.flush()
    unsafe = html_module.escape(name) != name or "\x00" in name
    for html in (shown(viewer), shown(viewer, detail(name)), shown(viewer, detail(name), measure="1")):
        assert SCRIPT not in html
        assert not {"\x1b", "\u202e"} & set(html)
        assert not unsafe or name not in html
    (row,) = listed(shown(viewer))
    assert row.endswith("&lt;script&gt;alert(1)&lt;/script&gt; 2 · tokens 1 · \\x1b[31m\\u202e -1")
    assert html_module.escape(SCRIPT) in shown(viewer, detail(name))


@pytest.mark.parametrize("key", ["tenant:{%ff}", "tenant:{a b}", "usage:{}:202601", "tenant:{default}", "x{acme}"])
def test_foreign_keys__name_no_tenant(viewer: Client, route: str, key: str) -> None:
    connections[route].redis.hset(key, "a", "b")
    assert listed(shown(viewer)) == []


def test_foreign_values__are_unreadable(viewer: Client, route: str) -> None:
    redis = connections[route].redis
    redis.hset(space().usage("amounts", periods(1)[0]), "tokens", "many")
    redis.set(space().usage("type", periods(1)[0]), "text")
    redis.set(space().record("type"), "text")
    redis.hset(space().usage("amounts", periods(1)[0]), "calls", "3")
    assert listed(shown(viewer)) == ["amounts: calls 3", "type: unreadable"]
    assert "unreadable" in shown(viewer, detail("type"))


@pytest.mark.parametrize("key", ["a_3Cb", "_25ff", "default", "x" * 101])
def test_detail__of_what_is_no_name_is_not_found(viewer: Client, key: str) -> None:
    assert viewer.get(f"{PAGE}{key}/change/").status_code == 404


@pytest.mark.parametrize(
    "parameters", [{"alias": "nowhere"}, {"cursor": "-1", "p": "x", "period": "x"}, {"q": "*" * 300}]
)
def test_parameters__that_make_no_sense_are_passed_over(viewer: Client, parameters: dict[str, str]) -> None:
    shown(viewer, **parameters)


@pytest.mark.parametrize("how", ["stop", "pause"])
def test_dead_server__is_a_message(viewer: Client, dying: Server, settings: Any, how: str) -> None:
    settings.CACHES = {"default": {"BACKEND": BACKEND, "LOCATION": "default"}}
    settings.UPSTASH_TENANTS = {"ALIAS": "default"}
    used("acme", tokens=1)
    assert listed(shown(viewer)) == ["acme: tokens 1"]
    getattr(dying, how)()
    for url in (PAGE, detail("acme"), f"{detail('acme')}?measure=1"):
        assert "The server cannot be asked." in shown(viewer, url)
    if how == "pause":
        dying.resume()


def test_dead_cache__is_said_beside_what_could_be_measured(viewer: Client, settings: Any, route: str) -> None:
    settings.UPSTASH = {**settings.UPSTASH, "gone": {"URL": "redis://127.0.0.1:1"}}
    settings.CACHES = {"default": {"BACKEND": BACKEND, "LOCATION": "gone"}}
    used("acme", tokens=1)
    html = shown(viewer, detail("acme"), measure="1")
    assert html.count('<p class="errornote">') == 1
    assert re.search(r'<th scope="row">usage</th><td class="upstash-number">\d</td>', html)


@pytest.mark.parametrize("wrong", [{"PERIOD": "year"}, {"ALIAS": 1}, []])
def test_wrong_settings__are_a_message(viewer: Client, settings: Any, wrong: Any) -> None:
    settings.UPSTASH_TENANTS = wrong
    assert "UPSTASH_TENANTS" in shown(viewer)
    assert "UPSTASH_TENANTS" in shown(viewer, detail("acme"))


def test_german__is_translated() -> None:
    with translation.override("de"):
        assert TenantUsage._meta.verbose_name_plural == "Mandanten"
        assert translation.gettext("What it takes") == "Was er belegt"
