"""The page of circuit breakers: what it shows, what it costs, and who may force what."""

from __future__ import annotations

import html as html_module
import re
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.test import Client, override_settings
from django.utils import translation

from django_upstash.breaker import CircuitBreaker, State
from django_upstash.connections import connections
from django_upstash.dev_server import LocalServer
from django_upstash.models import CircuitBreakerState
from django_upstash.operations.keys import percent_encoded
from tests.admin.conftest import MakeClient
from tests.servers import Server

pytestmark = pytest.mark.django_db
PAGE = "/admin/django_upstash/circuitbreakerstate/"
VIEW, CHANGE_IT = "view_circuitbreakerstate", "change_circuitbreakerstate"
FORM = {"key": "stripe", "state": "forced_open", "seconds": "3600"}
AGO = r"(\d+ (s|min) )+ago \(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\)"
SCRIPT = "<script>alert(1)</script>"
actions = pytest.mark.parametrize("action", ["force", "release"])


@pytest.fixture
def operator(log_in: MakeClient) -> Client:
    return log_in(VIEW, CHANGE_IT)


@pytest.fixture
def breaker(upstash: Any, route: str) -> CircuitBreaker:
    return make("stripe", route)


def make(name: str, route: str) -> CircuitBreaker:
    return CircuitBreaker(name, alias=route, failure_threshold=1, redis_timeout=20, timeout=3600, refresh=None)


def fail(breaker: CircuitBreaker) -> None:
    with pytest.raises(ZeroDivisionError), breaker:
        raise ZeroDivisionError


def detail(name: str) -> str:
    return f"{PAGE}{quote(percent_encoded(name))}/change/"


def shown(client: Client, route: str, url: str = PAGE, **parameters: str) -> str:
    answer = client.get(url, {"alias": route, **parameters})
    assert answer.status_code == 200
    return answer.content.decode()


def listed(html: str) -> list[str]:
    """Return the cells of the table, row by row."""
    rows = re.findall(r'<tr class="upstash-[^"]*">(.*?)</tr>', html, re.DOTALL)
    return [" | ".join(plain(cell) for cell in re.split("</t[hd]>", row)[:-1]) for row in rows]


def plain(text: str) -> str:
    return re.sub(r"<[^>]*>", "", text).strip().replace("\u2013", "-")


def post(client: Client, action: str, route: str, **more: str) -> Any:
    return client.post(f"{PAGE}do/{action}/", {"alias": route, **FORM, **more})


def told(answer: Any) -> str:
    return [str(message) for message in get_messages(answer.wsgi_request)][-1]


def test_list__says_how_breakers_stand(operator: Client, breaker: CircuitBreaker, route: str) -> None:
    fail(breaker)
    make("mail", route).disable()
    make("search", route).force_open(7200)
    html = shown(operator, route)
    stripe, search, mail = listed(html)
    assert re.fullmatch(
        rf"stripe \| open \| 1 of 1 ZeroDivisionError \| 1 \| {AGO} \| at least 0 \| in (1 h|59 min.*) \| -", stripe
    )
    assert re.fullmatch(r"search \| forced open \| 0 of 5 \| 0 \| - \| - \| - \| for (2 h|1 h 59 min)", search)
    assert mail == "mail | disabled | 0 of 5 | 0 | - | - | - | until released"
    assert re.findall(r"<strong>(\d)</strong>", html) == ["3", "2", "2"]  # known, refusing, forced


def test_list__is_narrowed_down(operator: Client, breaker: CircuitBreaker, route: str) -> None:
    fail(breaker)
    make("mail", route).force_close()
    assert [row.split()[0] for row in listed(shown(operator, route, state="open"))] == ["stripe"]
    assert [row.split()[0] for row in listed(shown(operator, route, q="AI"))] == ["mail"]
    assert "No breaker fits." in shown(operator, route, q="nothing")


def test_list__of_none(operator: Client, breaker: CircuitBreaker, route: str) -> None:
    assert "No breaker has opened" in shown(operator, route)


def test_pages__lead_through_all(operator: Client, breaker: CircuitBreaker, route: str, valkey: Server) -> None:
    for number in range(60):
        valkey.call("ZADD", "breakers", "1", f"breaker{number:02}")
        valkey.call("SET", f"breaker:breaker{number:02}", "closed 0 0 0 1 432000000 - 0")
    pages = [listed(shown(operator, route, p=page)) for page in ("1", "2", "99")]
    assert [len(page) for page in pages] == [50, 10, 10]
    assert "1970-01-06 00:00:00 UTC" in pages[0][0]


def test_detail__of_one_that_is_forced(operator: Client, breaker: CircuitBreaker, route: str) -> None:
    fail(breaker)
    breaker.force_close(600)
    html = shown(operator, route, detail("stripe"))
    assert "forced closed</span> for 10 min" in html
    assert "Release…" in html
    assert operator.get(f"{PAGE}a_3Cb/change/").status_code == 404  # not as a key has it


@pytest.mark.parametrize(
    ("state", "passes"), [("forced_open", False), ("forced_closed", True), ("forced_disabled", True)]
)
def test_force__and_release(operator: Client, breaker: CircuitBreaker, route: str, state: str, passes: bool) -> None:
    fail(breaker)
    assert post(operator, "force", route, state=state, _confirmed="1").headers["location"] == PAGE
    assert breaker.read().state == state
    assert State(state).lets_pass is passes
    assert told(post(operator, "release", route, _confirmed="1")) == "The breaker “stripe” is released."
    assert breaker.read().state is State.CLOSED


def test_force__of_a_breaker_that_never_opened(operator: Client, breaker: CircuitBreaker, route: str) -> None:
    answer = post(operator, "force", route, key="", name=" new one ", seconds="0", _confirmed="1")
    assert told(answer) == "The breaker “new one” is forced open, until released."
    assert make("new one", route).read().left is None


@actions
def test_action__shows_before_it_is_confirmed(
    operator: Client, breaker: CircuitBreaker, route: str, action: str
) -> None:
    fail(breaker)
    html = post(operator, action, route).content.decode()
    assert 'name="_confirmed"' in html
    assert listed(html)[0].startswith("stripe | open")
    assert "Every process that makes calls follows within 10 s." in html
    assert "<select" not in html  # what is confirmed is what was shown
    assert breaker.read().state is State.OPEN
    assert not LogEntry.objects.exists()


def test_history__has_who_forced_what(operator: Client, breaker: CircuitBreaker, route: str) -> None:
    post(operator, "force", route, _confirmed="1")
    post(operator, "release", route, _confirmed="1")
    notes = LogEntry.objects.order_by("pk").values_list("change_message", "object_id", "action_flag")
    assert list(notes) == [("Forced open, for 1 h.", "stripe", CHANGE), ("Released.", "stripe", CHANGE)]
    history = shown(operator, route, f"{PAGE}stripe/history/")
    assert "Forced open, for 1 h." in history
    assert LogEntry.objects.all()[0].get_admin_url() == "/admin/django_upstash/circuitbreakerstate/stripe/change/"


def test_permissions__gate(log_in: MakeClient, breaker: CircuitBreaker, route: str) -> None:
    fail(breaker)
    nobody, viewer = log_in("view"), log_in(VIEW)
    assert [nobody.get(url).status_code for url in (PAGE, detail("stripe"))] == [403, 403]
    assert b"Circuit breakers" not in nobody.get("/admin/").content
    assert Client().get(PAGE).headers["location"].startswith("/admin/login/")
    assert "/do/" not in shown(viewer, route) + shown(viewer, route, detail("stripe"))
    for action in ("force", "release"):
        assert post(nobody, action, route, _confirmed="1").status_code == 403
        assert post(viewer, action, route, _confirmed="1").status_code == 403
    assert log_in(CHANGE_IT, VIEW).get(f"{PAGE}add/").status_code == 403
    assert not LogEntry.objects.exists()


def test_permissions__are_those_that_mean_something() -> None:
    models = ("circuitbreakerstate", "tenantusage")
    names = Permission.objects.filter(content_type__model__in=models).values_list("codename", flat=True)
    assert sorted(names) == [CHANGE_IT, VIEW, "view_tenantusage"]


@actions
def test_action__is_refused_by_get_and_without_a_token(
    operator: Client, breaker: CircuitBreaker, route: str, action: str
) -> None:
    assert operator.get(f"{PAGE}do/{action}/", {"alias": route, **FORM, "_confirmed": "1"}).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = operator.cookies
    assert post(strict, action, route, _confirmed="1").status_code == 403
    assert not LogEntry.objects.exists()


def test_read_only__refuses_even_superusers(
    log_in: MakeClient, breaker: CircuitBreaker, route: str, settings: Any
) -> None:
    settings.UPSTASH_ADMIN = {**settings.UPSTASH_ADMIN, "READ_ONLY": True}
    client = log_in(is_superuser=True)
    assert "/do/" not in shown(client, route)
    assert post(client, "force", route, _confirmed="1").status_code == 403
    assert client.post(f"{detail('stripe')[:-7]}delete/", {"post": "yes"}).status_code == 404


@pytest.mark.parametrize(
    "form",
    [
        {"state": "half_open"},
        {"state": ""},
        {"seconds": "-1"},
        {"key": ""},
        {"key": "a b"},
        {"key": "%ff"},
        {"key": "", "name": "x" * 301},
    ],
)
def test_force__that_makes_no_sense_does_nothing(
    operator: Client, breaker: CircuitBreaker, route: str, form: dict[str, str]
) -> None:
    answer = post(operator, "force", route, _confirmed="1", **form)
    assert answer.headers["location"] == PAGE
    assert told(answer)
    assert connections[route].redis.dbsize() == 0
    assert not LogEntry.objects.exists()


HOSTILE = [
    SCRIPT,
    '"><img src=x onerror=alert(1)>',
    "../../etc",
    "{{ settings.SECRET_KEY }}",
    "\u202edrow\x00\x1b[31m\n",
]


@pytest.mark.parametrize("name", [*HOSTILE, "\ud800", "x" * 300])
def test_hostile_name__is_only_text(operator: Client, upstash: Any, route: str, name: str) -> None:
    make(name, route).force_open(60)
    unsafe = html_module.escape(name) != name or "\x00" in name
    form = {"key": percent_encoded(name)}
    pages = [shown(operator, route), shown(operator, route, detail(name))]
    pages += [post(operator, action, route, **form).content.decode() for action in ("force", "release")]
    assert not unsafe or not any(name in page for page in pages)
    assert post(operator, "release", route, _confirmed="1", **form).status_code == 302
    assert make(name, route).read().state is State.CLOSED
    after = [operator.get("/admin/"), operator.get(f"{PAGE}{quote(percent_encoded(name))}/history/")]
    assert [answer.status_code for answer in after] == [200, 200]
    assert not unsafe or not any(name in answer.content.decode() for answer in after)


@pytest.mark.parametrize("text", ["", "%ff", "%zz", SCRIPT, b"\xff", "a b"])
def test_foreign_names_in_the_index__are_passed_over(
    operator: Client, breaker: CircuitBreaker, route: str, valkey: Server, text: str | bytes
) -> None:
    fail(breaker)
    valkey.call("ZADD", "breakers", "1", text)
    valkey.call("ZADD", "breakers", "1", "far")
    valkey.call("SET", "breaker:far", f"open 999999999999999 0 0 {10**14} 999999999999999 - 0")
    assert [row.split()[0] for row in listed(shown(operator, route))] == ["far", "stripe"]


def test_foreign_index__is_a_message(operator: Client, breaker: CircuitBreaker, route: str, valkey: Server) -> None:
    valkey.call("SET", "breakers", "text")
    assert "The server cannot be asked." in shown(operator, route)


def test_costs__are_what_the_pages_say(operator: Client, breaker: CircuitBreaker, route: str, counting: Any) -> None:
    fail(breaker)
    make("mail", route).force_close()
    shown(operator, route)  # the connection finds out what it has to, once
    for url, wanted in ((PAGE, {"zrange": 1, "time": 1, "mget": 1}), (detail("stripe"), {"get": 1, "time": 1})):
        with counting() as cost:
            html = shown(operator, route, url)
        assert (cost["by_command"], cost["requests"]) == (wanted, 2)
        assert f"This page: 2 requests, {cost['commands']} commands." in html
        assert f"Each refresh, every 5 s: 2 requests, {cost['commands']} commands" in html
        (live,) = re.findall(r'data-live-url="([^"]+)"', html)
        with counting() as cost:
            fresh = operator.get(url + live.replace("&amp;", "&")).content.decode()
        assert (cost["by_command"], cost["requests"]) == (wanted, 2)
        assert "<html" not in fresh
        assert "open</span>" in fresh


def test_actions__cost_one_script(
    operator: Client, breaker: CircuitBreaker, route: str, counting: Any, valkey: Server, local_server: LocalServer
) -> None:
    breaker.force_open()
    shown(operator, route)  # the connection finds out what it has to, once
    for action in ("force", "release"):
        with counting() as cost:
            post(operator, action, route)
        assert (cost["requests"], cost["by_command"]) == (2, {"get": 1, "time": 1})
        local_server.reset_meter()
        with valkey.counting() as counted:
            post(operator, action, route, _confirmed="1")
        billed = local_server.meter()["commands"] if route == "rest" else counted.commands
        assert billed == 7


@pytest.mark.parametrize("how", ["stop", "pause"])
def test_dead_server__is_a_message(operator: Client, dying: Server, how: str) -> None:
    make("stripe", "default").force_open()
    assert len(listed(operator.get(PAGE).content.decode())) == 1
    getattr(dying, how)()
    for url in (PAGE, detail("stripe")):
        assert "The server cannot be asked." in operator.get(url).content.decode()
        assert operator.get(url, {"_live": "1"}).content.decode().startswith('<p data-part="failure">')
    assert post(operator, "release", "default", _confirmed="1").headers["location"] == PAGE
    assert any(note.change_message.startswith("Not known to be done") for note in LogEntry.objects.all())
    if how == "pause":
        dying.resume()


@override_settings(ROOT_URLCONF="tests.admin.test_integration")
def test_custom_site__has_the_page_too(log_in: MakeClient, breaker: CircuitBreaker, route: str) -> None:
    breaker.force_open()
    client = log_in(is_superuser=True)
    ops = PAGE.replace("/admin/", "/ops/", 1)
    assert f'href="{ops}"' in client.get("/ops/").content.decode()
    html = shown(client, route, ops)
    assert f'href="{ops}stripe/change/?alias={route}"' in html
    assert f'action="{ops}do/force/"' in html
    assert 'href="/admin/' not in html


def test_connection__is_that_of_the_breakers_unless_another_is_named(
    operator: Client, breaker: CircuitBreaker, route: str, settings: Any
) -> None:
    settings.UPSTASH_BREAKER = {"ALIAS": route}
    breaker.force_open()
    assert f'<option value="{route}" selected>' in operator.get(PAGE).content.decode()
    settings.UPSTASH_BREAKER = {"TIMEOUT": "wrong"}
    assert operator.get(PAGE).status_code == 200
    assert post(operator, "force", route).headers["location"] == PAGE


def test_german__is_translated() -> None:
    with translation.override("de"):
        assert CircuitBreakerState._meta.verbose_name_plural == "Schutzschalter"
        assert translation.gettext("Force a breaker?") == "Einen Schutzschalter festlegen?"
