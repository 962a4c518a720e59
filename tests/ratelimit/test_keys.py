"""Every text is an identity, and operators read those that they may."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_upstash.ratelimit import FixedWindow, SlidingWindow
from django_upstash.ratelimit.keys import family_key, key_prefix, stored_identity
from tests.ratelimit.conftest import MakeLimiter
from tests.servers import Server

DIGEST = re.compile(r"[0-9a-f]{32}")
UNREADABLE = ["", " ", "x" * 10_240, "user:1:2", "user:*", "é\u202e😀", "\ud800", "\udcff", "a\x00b", "user:1\r\n"]


@pytest.mark.parametrize(
    ("identity", "stored"),
    [
        *(("user:42", "user:42"), ("user:0b5e0f0e-7f43-4d0c-9a55-000000000000",) * 2),
        *(("203.0.113.7", "203.0.113.7"), ("203.0.113.0/24", "203.0.113.0/24"), ("2001:DB8:0::1", "2001:db8::1")),
        *(("::ffff:203.0.113.7", "203.0.113.7"), ("2001:db8:1:2:3:4:5:6/64", "2001:db8:1:2::/64")),
        *(("64:ff9b::203.0.113.7", "203.0.113.7"), ("64:ff9b::cb00:7100/120", "203.0.113.0/24")),
        *(("::ffff:203.0.113.0/120", "203.0.113.0/24"), ("::ffff:0:0/96", "0.0.0.0/0"), ("fe80::1%eth0", "fe80::1")),
    ],
)
def test_stored_identity__users_and_addresses_are_readable(identity: str, stored: str) -> None:
    assert stored_identity(identity) == stored


@pytest.mark.parametrize(
    "identity", ["ann@example.com", "sk_live_4242", "session", "user:ann@example.com", *UNREADABLE]
)
def test_stored_identity__everything_else_is_a_digest(identity: str) -> None:
    assert DIGEST.fullmatch(stored_identity(identity))


def test_stored_identity__digests_are_keyed_and_may_be_for_all(settings: Any) -> None:
    before = stored_identity("token")
    settings.SECRET_KEY = "another"
    assert stored_identity("token") != before
    settings.UPSTASH_RATELIMIT = {"DIGEST_IDENTITIES": True}
    assert {bool(DIGEST.fullmatch(stored_identity(identity))) for identity in ("user:1", "203.0.113.7")} == {True}


@pytest.mark.parametrize("identity", [None, 5, b"user:1", ["user:1"]])
def test_stored_identity__what_is_no_text_is_refused(identity: Any) -> None:
    with pytest.raises(TypeError, match="An identity must be text"):
        stored_identity(identity)


@given(st.text(st.characters()), st.text(st.characters()))
def test_stored_identity__different_texts_are_different_clients(one: str, other: str) -> None:
    assert (stored_identity(one) == stored_identity(other)) == (one == other)


@given(st.text(st.characters(), min_size=1), st.text(st.characters(), min_size=1))
def test_key_prefix__parts_cannot_run_into_each_other(tenant: str, scope: str) -> None:
    word, *parts, rest = key_prefix(tenant, scope).split(":")
    assert (word, len(parts), rest) == ("ratelimit", 2, "")
    key_prefix(tenant, scope).encode("ascii")


def test_key_prefix__encodes_each_part() -> None:
    assert key_prefix("shop 1", "log:in") == "ratelimit:shop%201:log%3Ain:"
    assert family_key("rules", "shop:1") == "ratelimit-rules:shop%3A1"


@pytest.mark.parametrize("identity", [*UNREADABLE, "::"])
def test_hit__limits_every_identity(open_limiter: MakeLimiter, valkey: Server, identity: str) -> None:
    limiter = open_limiter([FixedWindow("1/h", scope="window"), SlidingWindow("1/h", scope="\ud800 ring")])
    assert [limiter.hit(identity).allowed for _ in range(2)] == [True, False]
    assert all(len(key) < 100 for key in valkey.call("KEYS", "*"))
    assert limiter.reset(identity) == 2
