"""Who may look, who may change, and what the history says of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.messages import get_messages
from django.test import Client

from django_upstash.ratelimit import RateLimiter
from tests.admin.conftest import LIST, MakeClient, detail_url

pytestmark = [pytest.mark.django_db, pytest.mark.matrix]
KEY = "ratelimit:default:few:user:1"
DOING: dict[str, dict[str, Any]] = {
    "reset": {"selected": [KEY]},
    "reset-scope": {"tenant": "default", "scope": "few"},
    "block": {"selected": [KEY], "seconds": "300"},
    "unblock": {"selected": [KEY]},
    "limit": {"tenant": "default", "scope": "few", "limit": "9"},
}
NEEDS = {"reset": "delete", "reset-scope": "delete", "block": "change", "unblock": "change", "limit": "change"}
actions = pytest.mark.parametrize("action", DOING)


@pytest.fixture
def route() -> str:
    return "native"


def post(client: Client, action: str, route: str, **more: Any) -> Any:
    return client.post(f"{LIST}do/{action}/", {"alias": route, **DOING[action], **more})


def test_staff_without_permission__is_shown_nothing(log_in: MakeClient, limiter: RateLimiter, route: str) -> None:
    client = log_in()
    assert b"ate-limit counters" not in client.get("/admin/").content
    assert client.get(LIST, {"alias": route}).status_code == 403
    assert client.get(detail_url(KEY)).status_code == 403
    assert client.get(f"{detail_url(KEY)[:-7]}history/").status_code == 403
    assert [post(client, action, route).status_code for action in DOING] == [403] * len(DOING)


def test_nobody__is_asked_to_log_in() -> None:
    client = Client()
    for url in (LIST, detail_url(KEY)):
        assert client.get(url).headers["location"].startswith("/admin/login/")
    assert post(client, "reset", "native").headers["location"].startswith("/admin/login/")


@actions
def test_viewer__sees_and_cannot_post(log_in: MakeClient, limiter: RateLimiter, route: str, action: str) -> None:
    limiter.hit("user:1")
    client = log_in("view")
    page = client.get(LIST, {"alias": route}).content.decode()
    assert "user:1" in page
    assert "/do/" not in page.replace(f'action="{LIST}do/reset/"', "")
    assert "/do/" not in client.get(detail_url(KEY), {"alias": route}).content.decode()
    assert post(client, action, route, _confirmed="1").status_code == 403
    assert limiter.peek("user:1").remaining == 2
    assert not LogEntry.objects.exists()


@actions
def test_each_permission__allows_its_actions(log_in: MakeClient, limiter: RateLimiter, route: str, action: str) -> None:
    limiter.hit("user:1")
    others = {"change", "delete"} - {NEEDS[action]}
    assert post(log_in("view", *others), action, route).status_code == 403
    assert post(log_in("view", NEEDS[action]), action, route).status_code == 200


@actions
def test_read_only__refuses_even_superusers(
    log_in: MakeClient, limiter: RateLimiter, route: str, action: str, settings: Any
) -> None:
    settings.UPSTASH_ADMIN = {**settings.UPSTASH_ADMIN, "READ_ONLY": True}
    limiter.hit("user:1")
    client = log_in(is_superuser=True)
    page = client.get(LIST, {"alias": route}).content.decode()
    assert "user:1" in page
    assert "read-only" in page
    assert "action-select" not in page
    assert post(client, action, route, _confirmed="1").status_code == 403


@actions
def test_action__only_shows_before_it_is_confirmed(
    operator: Client, limiter: RateLimiter, route: str, action: str
) -> None:
    limiter.hit("user:1")
    before = limiter.server.base.redis.dump(KEY), limiter.server.base.redis.hgetall("ratelimit-rules:default")
    answer = post(operator, action, route)
    assert answer.status_code == 200
    assert 'name="_confirmed"' in answer.content.decode()
    assert before == (
        limiter.server.base.redis.dump(KEY),
        limiter.server.base.redis.hgetall("ratelimit-rules:default"),
    )
    assert not LogEntry.objects.exists()


@actions
def test_action__is_refused_by_get_and_without_a_token(operator: Client, route: str, action: str) -> None:
    assert operator.get(f"{LIST}do/{action}/", {"alias": route, "_confirmed": "1"}).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = operator.cookies
    assert post(strict, action, route, _confirmed="1").status_code == 403


@pytest.mark.parametrize(
    ("action", "flag", "object_id", "message"),
    [
        ("reset", DELETION, KEY, "Reset."),
        ("reset-scope", DELETION, "ratelimit:default:few:*", "Reset the whole scope."),
        ("block", CHANGE, KEY, "Blocked for 5 min."),
        ("unblock", CHANGE, KEY, "Unblocked."),
        ("limit", CHANGE, "ratelimit:default:few:*", "Limit: 9 in 1 h."),
    ],
)
def test_action__is_in_the_history(
    operator: Client, limiter: RateLimiter, route: str, action: str, flag: int, object_id: str, message: str
) -> None:
    limiter.hit("user:1")
    assert post(operator, action, route, _confirmed="1").headers["location"] == LIST
    entry = LogEntry.objects.get()
    assert (entry.action_flag, entry.object_id, entry.change_message) == (flag, object_id, message)
    assert entry.user.get_username().startswith("staff")
    assert message in operator.get(f"{detail_url(KEY)[:-7]}history/").content.decode() or object_id != KEY


def test_actions__do_what_they_say(operator: Client, limiter: RateLimiter, route: str) -> None:
    for _ in range(4):
        limiter.hit("user:1")
    assert not limiter.hit("user:1").allowed
    assert told(post(operator, "reset", route, _confirmed="1")) == "Removed: 1 counter."
    assert limiter.hit("user:1").allowed
    post(operator, "block", route, _confirmed="1")
    assert limiter.hit("user:1").reason == "blocked"
    post(operator, "unblock", route, _confirmed="1")
    assert limiter.hit("user:1").allowed
    post(operator, "limit", route, _confirmed="1")
    assert limiter.peek("user:1").limit == 9
    post(operator, "limit", route, limit="", _confirmed="1")
    assert limiter.peek("user:1").limit == 3
    assert told(post(operator, "reset-scope", route, _confirmed="1")) == "Removed: 1 counter."
    assert limiter.peek("user:1").remaining == 3


def told(answer: Any) -> str:
    """Return what the last message says."""
    return [str(message) for message in get_messages(answer.wsgi_request)][-1]


@pytest.mark.parametrize("identity", ["user:5", "203.0.113.0/24", "2001:DB8::1", "ann@example.com"])
def test_block__takes_any_identity(operator: Client, limiter: RateLimiter, route: str, identity: str) -> None:
    form = {"alias": route, "tenant": "default", "identity": identity, "seconds": "0", "_confirmed": "1"}
    operator.post(f"{LIST}do/block/", form)
    client = identity.replace("0/24", "77")
    assert limiter.hit(client).reason == "blocked"
    page = operator.get(LIST, {"alias": route}).content.decode()
    assert "without end" in page
    assert str(LogEntry.objects.get().object_id).startswith("ratelimit:default:*:")


@pytest.mark.parametrize(
    ("action", "form"),
    [
        ("reset", {}),
        ("reset", {"selected": ["session:1", "ratelimit", "ratelimit:a:b:", "ratelimit::b:c", "ratelimit:a%2f:b:c"]}),
        ("block", {"tenant": "default", "identity": " "}),
        ("block", {"tenant": "", "identity": "user:1"}),
        ("limit", {"tenant": "default", "scope": "few", "limit": "-1"}),
        ("limit", {"tenant": "default", "scope": "few", "limit": "1e9"}),
        ("limit", {"tenant": "default", "scope": "unknown", "limit": "7"}),
        ("reset-scope", {"tenant": "default"}),
        ("reset-scope", {"tenant": "default", "scope": "few", "cursor": "x"}),
    ],
)
def test_action__that_makes_no_sense_does_nothing(
    operator: Client, limiter: RateLimiter, route: str, action: str, form: dict[str, Any]
) -> None:
    limiter.server.base.redis.set("session:1", "kept")
    answer = operator.post(f"{LIST}do/{action}/", {"alias": route, "_confirmed": "1", **form})
    assert answer.headers["location"] == LIST
    assert told(answer)
    assert limiter.server.base.redis.dbsize() == 1
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("back", ["https://example.com/", "//example.com/", "/admin/", "javascript:1"])
def test_back__leads_nowhere_else(operator: Client, limiter: RateLimiter, route: str, back: str) -> None:
    assert post(operator, "unblock", route, _confirmed="1", back=back).headers["location"] == LIST
    assert back not in post(operator, "unblock", route, back=back).content.decode() or back == "/admin/"
    kept = f"{LIST}?scope=few"
    assert post(operator, "unblock", route, _confirmed="1", back=kept).headers["location"] == kept


def test_block__is_for_an_hour_unless_said_otherwise(operator: Client, limiter: RateLimiter, route: str) -> None:
    form = {"alias": route, "selected": [KEY]}
    page = operator.post(f"{LIST}do/block/", form).content.decode()
    assert '<option value="3600" selected>1 hour</option>' in page
    operator.post(f"{LIST}do/block/", {**form, "_confirmed": "1"})
    assert LogEntry.objects.get().change_message == "Blocked for 1 h."


def test_unknown_action__is_not_found(operator: Client) -> None:
    assert operator.post(f"{LIST}do/erase/").status_code == 404


def test_add_and_delete__do_not_exist(log_in: MakeClient) -> None:
    client = log_in(is_superuser=True)
    assert client.get(f"{LIST}add/").status_code == 403
    assert client.post(f"{detail_url(KEY)[:-7]}delete/", {"post": "yes"}).status_code == 404
    assert client.post(LIST, {"action": "delete_selected"}).status_code == 405
    assert client.post(detail_url(KEY)).status_code == 405


def test_index__lists_the_page_and_its_history(operator: Client, limiter: RateLimiter, route: str) -> None:
    post(operator, "reset-scope", route, _confirmed="1")
    index = operator.get("/admin/").content.decode()
    assert f'href="{LIST}"' in index
    assert 'href="/admin/django_upstash/ratelimitcounter/add/"' not in index
    assert operator.get(detail_url("ratelimit:default:few:*")).headers["location"] == f"{LIST}?tenant=default&scope=few"
