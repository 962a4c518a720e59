"""What is ruled while the site is running reaches every process within five seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_upstash.connections import Connection
from django_upstash.ratelimit import Concurrency, FixedWindow, RateLimiter, Reason, SlidingWindow
from django_upstash.ratelimit.process_state import Memory
from django_upstash.ratelimit.rules import LIFETIME
from tests.ratelimit.conftest import MakeLimiter
from tests.servers import Server

RULES = "ratelimit-rules:default"


@pytest.fixture
def elsewhere(make_limiter: MakeLimiter) -> Iterator[Callable[..., RateLimiter]]:
    """Return ``elsewhere(limiter)``: the same limiter in a process that shares no memory with this one."""
    opened: list[Connection] = []

    def make(limiter: Any) -> RateLimiter:
        other: RateLimiter = make_limiter(limiter.policies, tenant=limiter.tenant)
        server = limiter.server
        connection = Connection(server.connection.settings)
        opened.append(connection)
        other._server = type(server)(server.base, server.timeout, connection, Memory())
        return other

    yield make
    for connection in opened:
        connection.close()


def later(limiter: Any) -> None:
    """Let the five seconds be over."""
    limiter.rule_book._read_at -= LIFETIME


def test_block__is_for_all_processes_within_five_seconds(
    open_limiter: MakeLimiter, elsewhere: Callable[..., RateLimiter]
) -> None:
    limiter = open_limiter(SlidingWindow("9/h"))
    other = elsewhere(limiter)
    assert other.hit("user:1").allowed
    limiter.block("user:1", 60)
    assert not limiter.hit("user:1").allowed
    later(other)
    decision = other.hit("user:1")
    assert (decision.allowed, decision.reason) == (False, Reason.BLOCKED)
    # The clock a process keeps is calibrated to the server's, within the time of one exchange.
    assert 55 < (decision.retry_after or 0) < 61
    assert other.hit("user:2").allowed
    limiter.unblock("user:1")
    later(other)
    # What the blocked one was charged before the rules came along has been given back.
    assert other.hit("user:1").remaining == 7


def test_block__without_end_has_no_retry_after(open_limiter: MakeLimiter) -> None:
    limiter = open_limiter(SlidingWindow("9/h"))
    limiter.block("token")
    assert limiter.hit("token").retry_after is None
    assert limiter.peek("token").reason is Reason.BLOCKED


def test_block__costs_nothing_more(open_limiter: MakeLimiter, valkey: Server) -> None:
    limiter = open_limiter(SlidingWindow("9/h"))
    limiter.block("user:1")
    limiter.hit("user:1")
    with valkey.counting() as counted:
        assert not any(limiter.hit("user:1") for _ in range(9))
    assert counted.commands == 0


@pytest.mark.parametrize(
    ("listed", "inside", "outside"),
    [
        ("203.0.113.0/24", "203.0.113.7", "203.0.114.7"),
        ("203.0.113.7", "::ffff:203.0.113.7", "203.0.113.8"),
        ("2001:db8::/32", "2001:db8:1:2::/64", "2001:db9::1"),
        ("2001:db8::/32", "2001:db8::1", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::/64", "2001:db8:0:1::/64"),
        ("2001:db8::1/128", "2001:db8::/64", "2001:db8:0:1::/64"),
        ("::ffff:203.0.113.0/120", "203.0.113.7", "203.0.114.7"),
        ("203.0.113.0/24", "64:ff9b::203.0.113.7", "64:ff9b::203.0.114.7"),
        ("64:ff9b::203.0.113.0/120", "::ffff:203.0.113.7", "203.0.114.7"),
        ("fe80::1%eth0", "fe80::/64", "fe80:0:0:1::/64"),
    ],
)
def test_block__of_networks(open_limiter: MakeLimiter, listed: str, inside: str, outside: str) -> None:
    limiter = open_limiter(SlidingWindow("9/h"))
    limiter.block(listed)
    assert (limiter.hit(inside).allowed, limiter.hit(outside).allowed) == (False, True)
    assert limiter.hit("user:1").allowed


def test_block__ends_with_its_time(open_limiter: MakeLimiter, valkey: Server) -> None:
    limiter = open_limiter(SlidingWindow("9/h"))
    limiter.block("user:1", 0.000001)
    limiter.block("user:2")
    limiter.read_rules()
    assert limiter.hit("user:1").allowed
    limiter.block("user:3")
    assert set(valkey.call("HKEYS", RULES)) == {b"block user:2", b"block user:3"}


def test_block__listed_in_another_form_by_another_version(open_limiter: MakeLimiter, valkey: Server) -> None:
    limiter = open_limiter(SlidingWindow("9/h"))
    over = "1"  # microseconds since 1970
    for name, until in (("::ffff:203.0.113.0/120", "0"), ("64:ff9b::c000:201", "0"), ("::ffff:198.51.100.0/120", over)):
        valkey.call("HSET", RULES, f"block {name}", until)
    valkey.call("HSET", RULES, "block no/network", "0")
    limiter.read_rules()
    addresses = ("203.0.113.9", "192.0.2.1", "198.51.100.9")
    assert [limiter.hit(address).allowed for address in addresses] == [False, False, True]
    limiter.block("user:3")
    assert b"block ::ffff:198.51.100.0/120" not in valkey.call("HKEYS", RULES)


def test_allow__passes_all_limits_and_counts_nothing(open_limiter: MakeLimiter, valkey: Server) -> None:
    limiter = open_limiter(FixedWindow("1/h"))
    limiter.allow("203.0.113.0/24")
    limiter.block("203.0.113.7")
    limiter.read_rules()
    decisions = [limiter.hit("203.0.113.7") for _ in range(3)]
    assert [decision.reason for decision in decisions] == [Reason.EXEMPT] * 3
    assert valkey.call("KEYS", "ratelimit:*") == []
    limiter.disallow("203.0.113.0/24")
    assert not limiter.hit("203.0.113.7").allowed


@pytest.mark.parametrize("policy", [FixedWindow("2/h", scope="s"), SlidingWindow("2/h", scope="s")])
def test_set_limit__raises_and_lowers_for_all_processes(
    open_limiter: MakeLimiter, elsewhere: Callable[..., RateLimiter], policy: Any
) -> None:
    limiter = open_limiter(policy)
    other = elsewhere(limiter)
    assert [other.hit("user:1").allowed for _ in range(4)] == [True, True, False, False]
    limiter.set_limit("s", 5)
    later(other)
    decisions = [other.hit("user:1") for _ in range(4)]
    assert [(decision.allowed, decision.limit) for decision in decisions] == [(True, 5)] * 3 + [(False, 5)]
    limiter.set_limit("s", 1)
    later(other)
    assert (other.hit("user:2").allowed, other.hit("user:2").allowed) == (True, False)
    limiter.set_limit("s", None)
    later(other)
    assert other.hit("user:2").allowed


def test_set_limit__of_one_identity(open_limiter: MakeLimiter) -> None:
    limiter = open_limiter([SlidingWindow("1/h", scope="a"), SlidingWindow("9/h", scope="b")])
    limiter.set_limit("a", 3, identity="ann@example.com")
    assert [limiter.hit("ann@example.com").allowed for _ in range(4)] == [True, True, True, False]
    assert [limiter.hit("bob@example.com").allowed for _ in range(2)] == [True, False]


def test_set_limit__bad_ones_are_refused(open_limiter: MakeLimiter, valkey: Server) -> None:
    limiter = open_limiter(SlidingWindow("1/h", scope="a"))
    with pytest.raises(ValueError, match="'b' is unknown here; there is 'a'"):
        limiter.set_limit("b", 1)
    for limit in (-1, 1.5, "7", True, 10**9):
        with pytest.raises(ValueError, match="limit of"):
            limiter.set_limit("a", limit)
    for seconds in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="greater than 0"):
            limiter.block("user:1", seconds)
    assert valkey.call("EXISTS", RULES) == 0


def test_rules__are_read_once_in_five_seconds(open_limiter: MakeLimiter, valkey: Server) -> None:
    limiter = open_limiter(FixedWindow("99/h"))
    with valkey.counting() as counted:
        for number in range(9):
            limiter.hit(f"user:{number}")
    assert counted.by_command["hgetall"] == 1
    later(limiter)
    with valkey.counting() as counted:
        limiter.hit("user:1")
        limiter.hit("user:1")
    assert counted.by_command == {"hgetall": 1, "incr": 2}


def test_rules__can_be_left_alone(open_limiter: MakeLimiter, valkey: Server) -> None:
    limiter = open_limiter(FixedWindow("99/h"), rules=False)
    limiter.block("user:1")
    with valkey.counting() as counted:
        assert limiter.hit("user:1").allowed
    assert "hgetall" not in counted.by_command


def test_rules__what_somebody_else_wrote_there_stops_nobody(open_limiter: MakeLimiter, valkey: Server) -> None:
    for name, value in (
        ("limit default", "many"),
        ("block", ""),
        ("block 1/2/3", "0"),
        ("\xff", "1"),
        ("limit x", "-5"),
    ):
        valkey.call("HSET", RULES, name, value)
    limiter = open_limiter(FixedWindow("2/h"))
    assert limiter.hit("user:1").remaining == 1
    valkey.call("DEL", RULES)
    valkey.call("SET", RULES, "nonsense")
    later(limiter)
    assert limiter.hit("user:1").remaining == 0


def test_rules__of_tenants_are_apart(open_limiter: MakeLimiter) -> None:
    one, other = (open_limiter(FixedWindow("9/h"), tenant=tenant) for tenant in ("one", "other"))
    one.block("user:1")
    assert (one.hit("user:1").allowed, other.hit("user:1").allowed) == (False, True)


def test_read_rules__tells_what_is_ruled(open_limiter: MakeLimiter) -> None:
    limiter = open_limiter(FixedWindow("9/h", scope="s"))
    limiter.set_limit("s", 4)
    limiter.block("user:1")
    limiter.allow("203.0.113.0/24")
    rules = limiter.read_rules()
    assert (rules.limits, rules.blocked.identities) == ({"s": 4}, {"user:1": 0})
    assert list(map(str, rules.allowed.networks)) == ["203.0.113.0/24"]


def test_rules__a_limit_that_the_policy_cannot_have_is_passed_over(open_limiter: MakeLimiter, valkey: Server) -> None:
    limiter = open_limiter([Concurrency(1, scope="at once"), SlidingWindow("9/h", scope="page")])
    valkey.call("HSET", RULES, "limit at%20once", "20000", "limit page", "1")
    assert [limiter.hit("user:1").allowed for _ in range(2)] == [True, False]
    assert limiter.peek("user:2").outcomes[0].limit == 1


def test_rules__that_cannot_be_read_stay_as_they_were(open_limiter: MakeLimiter, valkey: Server) -> None:
    limiter = open_limiter(SlidingWindow("9/h"))
    limiter.block("user:1")
    assert not limiter.hit("user:1").allowed
    valkey.call("SET", RULES, "no hash")
    later(limiter)
    assert limiter.hit("user:2").allowed
    assert limiter.hit("user:1").reason is Reason.BLOCKED


def test_notes__are_passed_over_by_what_knows_none_and_go_with_their_block(
    make_limiter: MakeLimiter, valkey: Server
) -> None:
    limiter = make_limiter(SlidingWindow("9/h"))
    limiter.block("user:1")
    valkey.call("HSET", RULES, "note user:1", "42", "note user:9", "a\u202eb", "foreign user:1", "7")
    rules = limiter.read_rules()
    assert rules.notes == {"user:1": "42", "user:9": "a\u202eb"}
    assert (list(rules.blocked.names), rules.limits) == (["user:1"], {})
    limiter.unblock("user:1")
    assert valkey.call("HEXISTS", RULES, "note user:1") == 0


def test_notes__of_blocks_that_have_ended_are_removed(make_limiter: MakeLimiter, valkey: Server) -> None:
    limiter = make_limiter(SlidingWindow("9/h"))
    valkey.call("HSET", RULES, "block user:1", "1000000", "note user:1", "ann", "note user:2", "kept")
    limiter.read_rules()
    limiter.block("user:2", 60)
    assert valkey.call("HEXISTS", RULES, "note user:1") == 0
    assert valkey.call("HEXISTS", RULES, "note user:2") == 1
