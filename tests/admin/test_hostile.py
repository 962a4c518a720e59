"""Identities, scopes and tenants that want to be something else, and servers that are away."""

from __future__ import annotations

import base64
import html as html_module
import re
import zlib
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from django_upstash.connections import connections
from django_upstash.ratelimit import FixedWindow, RateLimiter
from tests.admin.conftest import LIST, detail_url
from tests.servers import Server

pytestmark = pytest.mark.django_db
SCRIPT = "<script>alert(1)</script>"
HOSTILE = [
    SCRIPT,
    '"><img src=x onerror=alert(1)>',
    "../../../etc/passwd",
    "{{ settings.SECRET_KEY }}{% debug %}",
    "a:b:c %2f *?[x]\\",
    "‮drow\x00\x1b[31m\n",
    "x" * 300,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_scope_and_identity__are_only_text(operator: Client, route: str, text: str) -> None:
    limiter = RateLimiter(FixedWindow("3/h", scope=text), alias=route, tenant=text)
    limiter.hit(text)
    limiter.block(text)
    html = operator.get(LIST, {"alias": route, "tenant": text, "scope": text, "q": f"{text}"}).content.decode()
    unsafe = html_module.escape(text) != text
    assert not unsafe or text not in html
    (stored,) = connections[route].redis.keys("ratelimit:*")
    key = bytes(stored).decode()  # type: ignore[arg-type]
    detail = operator.get(detail_url(key), {"alias": route})
    assert detail.status_code == 200
    assert not unsafe or text not in detail.content.decode()
    for action in ("reset", "block", "unblock"):
        form = {"alias": route, "selected": [key]}
        page = operator.post(f"{LIST}do/{action}/", form).content.decode()
        assert not unsafe or text not in page
        assert operator.post(f"{LIST}do/{action}/", {**form, "_confirmed": "1"}).status_code == 302
    assert not connections[route].redis.exists(key)
    assert LogEntry.objects.count() == 3
    assert operator.get("/admin/").status_code == 200


@pytest.mark.parametrize("identity", [SCRIPT, "user:1/../../x", "a:b", "\x00\x1b", "é*"])
def test_foreign_keys_under_our_prefix__are_only_text(operator: Client, route: str, identity: str) -> None:
    key = f"ratelimit:default:few:{identity}"
    connections[route].redis.set(key, f"{SCRIPT}")
    html = operator.get(LIST, {"alias": route}).content.decode()
    assert SCRIPT not in html
    assert operator.get(detail_url(key), {"alias": route}).status_code == 200
    form = {"alias": route, "selected": [key], "_confirmed": "1"}
    assert operator.post(f"{LIST}do/reset/", form).status_code == 302
    assert "\x00" not in str(LogEntry.objects.get().object_id)
    assert not connections[route].redis.exists(key)


def test_keys_of_others__are_never_touched(operator: Client, limiter: RateLimiter, route: str) -> None:
    kept = ["session:1", "ratelimit-rules:default", "ratelimit-stats:default:1", "cache:1:x"]
    for key in kept:
        connections[route].redis.hset(key, "limit few", "9")
    form = {"alias": route, "selected": kept, "_confirmed": "1"}
    operator.post(f"{LIST}do/reset/", form)
    operator.post(f"{LIST}do/reset-scope/", {"alias": route, "tenant": "*", "scope": "*", "_confirmed": "1"})
    assert connections[route].redis.dbsize() == len(kept)


def test_reset_of_a_scope__goes_on_where_it_stopped(operator: Client, route: str, settings: Any) -> None:
    settings.UPSTASH_ADMIN = {**settings.UPSTASH_ADMIN, "SCAN_PAGES": 1}
    redis = connections[route].redis
    redis.mset({f"neighbour:{number}": "" for number in range(4000)})
    limiter = RateLimiter(FixedWindow("3/h", scope="few"), alias=route)
    for number in range(30):
        limiter.hit(f"user:{number}")
    form = {"alias": route, "tenant": "default", "scope": "few", "cursor": "", "_confirmed": "1"}
    for _ in range(20):
        answer = operator.post(f"{LIST}do/reset-scope/", form)
        if answer.status_code == 302:
            break
        (cursor,) = re.findall(r'name="cursor" value="(\d+)"', answer.content.decode())
        form["cursor"] = cursor
    assert form["cursor"]
    assert redis.dbsize() == 4000


def test_reset_of_a_scope__leaves_scopes_with_similar_names(operator: Client, route: str) -> None:
    names = ["few", "few2", "fe*", "fe?", "f[e]w"]
    for name in names:
        RateLimiter(FixedWindow("3/h", scope=name), alias=route).hit("user:1")
    form = {"alias": route, "tenant": "default", "scope": "fe*", "_confirmed": "1"}
    operator.post(f"{LIST}do/reset-scope/", form)
    assert connections[route].redis.dbsize() == len(names) - 1


def test_secrets__are_never_shown(operator: Client, settings: Any, upstash: dict[str, dict[str, Any]]) -> None:
    settings.UPSTASH = {"default": {"URL": "redis://ann:p%40ss-word@127.0.0.1:1/0"}, "rest": upstash["rest"]}
    for alias in settings.UPSTASH:
        answer = operator.get(LIST, {"alias": alias})
        assert answer.status_code == 200
        assert "p%40ss-word" not in answer.content.decode()
        assert "p@ss-word" not in answer.content.decode()
        assert str(upstash["rest"]["TOKEN"]) not in answer.content.decode()


def looks_dead(client: Client, url: str) -> None:
    answer = client.get(url)
    assert answer.status_code == 200
    assert "The server cannot be asked." in answer.content.decode()


@pytest.mark.parametrize("how", ["stop", "pause"])
def test_dead_server__is_a_message(operator: Client, dying: Server, how: str) -> None:
    RateLimiter(FixedWindow("3/h", scope="few")).hit("user:1")
    key = "ratelimit:default:few:user:1"
    assert "user:1" in operator.get(LIST).content.decode()
    getattr(dying, how)()
    looks_dead(operator, LIST)
    looks_dead(operator, detail_url(key))
    live = operator.get(LIST, {"_live": "1"}).content.decode()
    assert live.startswith('<p data-part="failure">')
    answer = operator.post(f"{LIST}do/reset/", {"selected": [key], "_confirmed": "1"})
    assert answer.headers["location"] == LIST
    notes = list(LogEntry.objects.values_list("change_message", flat=True))
    assert len(notes) == 2
    assert any(note.startswith("Not known to be done") for note in notes)
    if how == "pause":
        dying.resume()


def test_dead_server__is_left_alone_by_refreshing(operator: Client, dying: Server) -> None:
    operator.get(LIST)
    dying.stop()
    looks_dead(operator, LIST)
    failed = errors()
    for _ in range(5):
        assert 'data-part="failure"' in operator.get(LIST, {"_live": "1"}).content.decode()
    assert errors() == failed


def errors() -> int:
    """Return how many requests have failed, background tries left out."""
    return sum(connection.meter.errors for connection in connections.opened())


def test_no_server__is_a_message(operator: Client, settings: Any) -> None:
    mistakes: tuple[Any, ...] = ({}, [], {"default": {"URL": "nonsense"}}, {"default": {}})
    for wrong in mistakes:
        settings.UPSTASH = wrong
        looks_dead(operator, LIST)
        assert operator.post(f"{LIST}do/reset/", {"selected": ["ratelimit:a:b:c"]}).headers["location"] == LIST


def test_wrong_type_under_our_prefix__is_a_message_or_left_out(operator: Client, route: str) -> None:
    connections[route].redis.hset("ratelimit:default:few:user:1", "a", "b")
    connections[route].redis.set("ratelimit-rules:default", "text")
    assert operator.get(LIST, {"alias": route}).status_code == 200


@pytest.mark.parametrize("body", ["[1e999, 0]", '[1, 2, "ratelimit:default:few:\\ud800"]', "[1, 2, 5]", "[1, 2"])
def test_hostile_rows__are_none(operator: Client, route: str, body: str) -> None:
    text = base64.urlsafe_b64encode(zlib.compress(body.encode())).decode()
    for rows in (text, text[:-9], "é"):
        assert operator.get(LIST, {"alias": route, "_live": "1", "rows": rows}).status_code == 200
