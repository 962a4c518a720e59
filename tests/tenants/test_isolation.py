"""Whatever a tenant is called, it neither reads nor removes what is another's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.core.cache import caches
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from django_upstash.connections import connections
from django_upstash.operations import command
from django_upstash.ratelimit import FixedWindow
from django_upstash.tenants import Tenant, stored_tenants
from django_upstash.tenants.tenant_keys import LONGEST_NAME
from tests.servers import start_valkey
from tests.tenants.conftest import BACKEND

PIECES = (
    *("acme", "{", "}", "{acme}", ":", "1", "*", "?", "[a-z]", "\\", "%7B", "%", "tenant", "usage", "ids", "from", "/"),
    *("\n", "\x00", " ", "é", "\U0001f600", "\ud800", "202611", "shop", "-0", "~", "limits", "acme}:1:key"),
)


def quoted(name: str) -> str:
    return quote(name.encode("utf-8", "surrogatepass"), safe="")


def is_name(name: str) -> bool:
    return name != "default" and len(quoted(name)) <= LONGEST_NAME


composed = st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join)
names = (composed | st.text(min_size=1, max_size=12)).filter(is_name)
# Those that Django does not warn of.
keys = st.lists(st.sampled_from([*filter(str.isprintable, PIECES)]), min_size=1, max_size=4).map("".join)
keys = keys.filter(lambda key: " " not in key)


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with start_valkey() as server:
        yield server


@pytest.fixture
def site(server: Any, settings: Any) -> None:
    settings.UPSTASH = {"default": {"URL": server.url}}
    settings.CACHES = {
        "default": {"BACKEND": BACKEND, "LOCATION": "default", "KEY_PREFIX": "shop", "TIMEOUT": None},
        "plain": {"BACKEND": BACKEND, "LOCATION": "default", "TIMEOUT": None},
    }
    settings.UPSTASH_TENANTS = {"REFRESH": 0}  # the database is emptied for each example
    settings.UPSTASH_RATELIMIT = {"TIMEOUT": 20, "RULES": False}


def fill(tenant: Tenant, key: str) -> None:
    for alias in caches:
        tenant.cache_in(alias).set(key, quoted(tenant.name))
    tenant.configure(owner=quoted(tenant.name))
    tenant.flags.set("new", everyone=True)
    tenant.limiter(FixedWindow("9/h", scope="login")).hit("user:1")
    tenant.usage.add("tokens", 1, id="event")
    tenant.usage.flush()


def stored(tenant: Tenant, key: str) -> list[Any]:
    """Return everything that can be read of a tenant."""
    return [
        *(tenant.cache_in(alias).get(key) for alias in caches),
        dict(tenant.config),
        tenant.flags.is_active("new"),
        tenant.limiter(FixedWindow("9/h", scope="login")).peek("user:1").remaining,
        tenant.usage.read(),
    ]


EMPTY: list[Any] = [None, None, {}, False, 9, {}]


@pytest.mark.usefixtures("site")
@given(one=names, other=names, key=keys)
@example(one="a", other="a}:1:{b", key="key")
@example(one="acme", other="{acme}", key="{acme}:1:key")
@example(one="acme", other="acm*", key="*")
@example(one="a%3Ab", other="a:b", key="key")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_hostile_names__neither_read_nor_remove(one: str, other: str, key: str) -> None:
    if one == other:
        return
    connections["default"].run(command("FLUSHALL"))
    victim, attacker = Tenant(one), Tenant(other)
    fill(victim, key)
    caches["default"].set("site", 1)
    caches["plain"].set("site", 1)
    everything = stored(victim, key)
    before = set(connections["default"].run(command("KEYS", "*")))
    assert everything[2:4] == [{"owner": quoted(one)}, True]

    assert stored(attacker, key) == EMPTY
    attacker.limiter(FixedWindow("9/h", scope="login")).reset("user:1")
    for alias in caches:
        cache = attacker.cache_in(alias)
        cache.delete(key)
        cache.delete_pattern("*")
        cache.clear()
    attacker.unconfigure("owner")
    attacker.flags.delete("new")
    assert attacker.erase().removed == 0
    assert set(connections["default"].run(command("KEYS", "*"))) == before
    assert stored(victim, key) == everything
    assert stored_tenants() == [one]

    fill(attacker, key)
    assert sorted(stored_tenants()) == sorted([one, other])
    assert victim.erase().removed > 0
    assert stored(victim, key) == EMPTY
    assert stored(attacker, key)[2:] == [{"owner": quoted(other)}, True, 8, {"tokens": 1}]
    assert [caches[alias].get("site") for alias in caches] == [1, 1]


@pytest.mark.usefixtures("site")
@given(name=names, key=keys)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_hostile_keys__of_the_site_are_nobodys(name: str, key: str) -> None:
    connections["default"].run(command("FLUSHALL"))
    caches["default"].set(key, 1)
    caches["plain"].set(key, 1)
    tenant = Tenant(name)
    assert stored(tenant, key)[:2] == [None, None]
    assert tenant.erase().removed == 0
    assert stored_tenants() == []
    assert [caches[alias].get(key) for alias in caches] == [1, 1]
