"""Blocking a client by typing its name: what is echoed, what is refused, and what is kept of it."""

from __future__ import annotations

import html as html_module
import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.test import Client

from django_upstash.ratelimit import RateLimiter
from tests import hostile
from tests.admin.conftest import LIST

pytestmark = pytest.mark.django_db


def told(answer: Any) -> str:
    """Return what the last message says."""
    return [str(message) for message in get_messages(answer.wsgi_request)][-1]


def typing(client: Client, route: str, identity: str, **more: str) -> Any:
    """Send what somebody has typed beside “Block a client”."""
    form = {"alias": route, "tenant": "default", "identity": identity, "seconds": "3600", **more}
    return client.post(f"{LIST}do/block/", form)


NAMES = {"name", "unknown", "obfuscated", "integer", "hexadecimal"}  # may be the names of clients
BROKEN = {
    **{name: text for name, text in hostile.BROKEN_ADDRESSES.items() if name not in {*NAMES, "host_bits"}},
    **dict(zip("abcde", hostile.WITH_PORT, strict=True)),
    "three": "1.2.3",
    "letter": "::g",
    "zone": "fe80::1%",
}


@pytest.mark.default_cases(13)
@pytest.mark.parametrize("identity", hostile.cases(BROKEN))
def test_block__refuses_broken_addresses(operator: Client, limiter: RateLimiter, route: str, identity: str) -> None:
    for more in ({}, {"_confirmed": "1"}):
        answer = typing(operator, route, identity, **more)
        assert answer.headers["location"] == LIST
        assert f"“{identity}” is no address and no network" in told(answer)
    assert limiter.server.base.redis.dbsize() == 0
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        ("user:42", "You typed “user:42”: a user."),
        ("::ffff:203.0.113.7", "You typed “::ffff:203.0.113.7”: the address 203.0.113.7."),
        ("198.51.100.8/24", "You typed “198.51.100.8/24”: the network 198.51.100.0/24, of 256 addresses."),
        ("user42", "You typed “user42”: neither an address nor user:<pk>."),
        ("users:42", "You typed “users:42”: neither an address nor user:<pk>."),
        ("ann@example.com", "You typed “ann@example.com”: neither an address nor user:<pk>."),
        ("tenant:acme:42", "You typed “tenant:acme:42”: neither an address nor user:<pk>."),
    ],
)
def test_block__echoes_what_was_typed(
    operator: Client, limiter: RateLimiter, route: str, identity: str, words: str
) -> None:
    page = html_module.unescape(typing(operator, route, identity).content.decode())
    assert words in page
    assert ("No counter of this client exists" in page) is ("/" not in identity)
    limiter.hit(identity)
    page = html_module.unescape(typing(operator, route, identity).content.decode())
    assert "No counter of this client exists" not in page


@pytest.mark.parametrize(
    ("identity", "label"),
    [
        ("user42", "user42"),
        ("198.51.100.8/24", "198.51.100.8/24"),
        ("ann@example.com", "a…@example.com"),
        ("sk_live_0123456789abcdef", "sk_…ef (24)"),
    ],
)
def test_blocks__are_told_apart_when_unblocking_and_in_the_history(
    operator: Client, limiter: RateLimiter, route: str, identity: str, label: str
) -> None:
    typing(operator, route, "another", _confirmed="1")
    assert f"“{label}”" in told(typing(operator, route, identity, _confirmed="1"))
    rules = limiter.read_rules()
    assert label in rules.notes.values()
    page = html_module.unescape(operator.get(LIST, {"alias": route}).content.decode())
    assert f"“{label}”" in page
    stored = next(name for name, note in rules.notes.items() if note == label)
    form = {"alias": route, "tenant": "default", "stored": stored, "note": label}
    assert f"“{label}”" in html_module.unescape(operator.post(f"{LIST}do/unblock/", form).content.decode())
    operator.post(f"{LIST}do/unblock/", {**form, "_confirmed": "1"})
    notes = list(LogEntry.objects.order_by("pk").values_list("change_message", flat=True))
    assert notes == ["Blocked for 1 h. “another”", f"Blocked for 1 h. “{label}”", f"Unblocked. “{label}”"]
    rules = limiter.read_rules()
    assert [list(rules.blocked.names), list(rules.notes.values())] == [list(rules.notes), ["another"]]
    kept = str(limiter.server.base.redis.hgetall("ratelimit-rules:default"))
    assert label == identity or identity not in kept + str(notes)


@pytest.mark.default_cases(23)
@pytest.mark.parametrize("identity", [*hostile.texts(hostile.SURROGATES, ["nul"]), *hostile.addresses()])
def test_block__of_what_nobody_expects(operator: Client, limiter: RateLimiter, route: str, identity: str) -> None:
    for more in ({}, {"_confirmed": "1"}):
        answer = typing(operator, route, identity, **more)
        assert answer.status_code in (200, 302)
        # What was typed is in a hidden field, for the confirmation; nobody sees that one.
        text = re.sub(r'<input type="hidden"[^>]*>', "", answer.content.decode())
        assert html_module.escape(identity) == identity or identity not in text
        assert not set("\x1b\x00\u202e\u2028") & set(text)
    page = operator.get(LIST, {"alias": route}).content.decode()
    assert not set("\x1b\x00\u202e\u2028") & set(page)
