"""Tenants listed, measured and erased."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_upstash.operations.key_scan import Swept
from django_upstash.ratelimit import FixedWindow
from django_upstash.tenants import Tenant, astored_tenants, stored_tenants
from tests.servers import Server
from tests.tenants.conftest import BACKEND, MakeTenant

pytestmark = pytest.mark.matrix


def fill(name: str) -> None:
    tenant = Tenant(name)
    tenant.configure(plan="pro")
    tenant.cache.set_many({f"key{number}": "x" * 100 for number in range(50)})
    tenant.limiter(FixedWindow("9/h", scope="login")).hit("user:1")
    tenant.usage.add("tokens", 1, id="event")
    tenant.usage.flush()


@pytest.mark.usefixtures("configure")
def test_stored_tenants__are_those_with_anything(runner: Any, valkey: Server) -> None:
    assert stored_tenants() == []
    Tenant("by config").configure(plan="pro")
    Tenant("by cache").cache.set("key", 1)
    Tenant("by usage").usage.add("tokens")
    Tenant("by usage").usage.flush()
    for foreign in ("tenant:{}", "tenant:{a b}", "tenant:{a}b", "usage:acme", "shop:1:{x}:1:key", "{free}:1:key"):
        valkey.call("SET", foreign, "x")
    expected = ["by cache", "by config", "by usage"]
    assert stored_tenants() == runner.run(astored_tenants()) == expected


def test_measure__counts_by_kind(make_tenant: MakeTenant) -> None:
    fill("acme")
    fill("globex")
    found = {measure.name: measure for measure in make_tenant("acme").measure()}
    counts = {name: measure.keys for name, measure in found.items()}
    assert counts == {"config": 1, "usage": 3, "limits": 1, "cache:default": 50}
    assert all(measure.is_complete and measure.bytes for measure in found.values())
    assert (found["cache:default"].bytes or 0) > 50 * 100
    assert {measure.keys for measure in make_tenant("nobody").measure()} == {0}


def test_measure__counts_one_database_once(make_tenant: MakeTenant, settings: Any) -> None:
    entry = {"BACKEND": BACKEND, "KEY_PREFIX": "shop"}
    locations = {"default": "native", "rest": "rest", "again": "native", "apart": "embedded"}
    settings.CACHES = {name: {**entry, "LOCATION": alias} for name, alias in locations.items()}
    settings.CACHES["other"] = {**entry, "LOCATION": "rest", "KEY_PREFIX": "other"}
    Tenant("acme").cache.set("key", "value")
    found = {measure.name: measure.keys for measure in make_tenant("acme").measure()}
    caches = {name: keys for name, keys in found.items() if name.startswith("cache")}
    assert caches == {"cache:default, cache:rest, cache:again": 1, "cache:apart": 0, "cache:other": 0}


def test_measure__stops_at_the_limit(make_tenant: MakeTenant, valkey: Server) -> None:
    valkey.call("MSET", *(part for number in range(3000) for part in (f"shop:{{acme}}:1:{number}", "x")))
    found = {measure.name: measure for measure in make_tenant("acme").measure(limit=100)}
    assert not found["cache:default"].is_complete
    assert 100 <= found["cache:default"].keys < 3000


def test_erase__removes_all_of_one(make_tenant: MakeTenant, valkey: Server) -> None:
    fill("globex")
    others = set(valkey.call("KEYS", "*"))
    fill("acme")
    tenant = make_tenant("acme")
    assert tenant.config == {"plan": "pro"}
    Tenant("acme").usage.add("tokens", 100)  # not written yet
    told: list[Swept] = []
    assert tenant.erase(progress=told.append) == Swept(55, None)
    assert told[-1].removed == 55
    Tenant("acme").usage.flush()
    assert set(valkey.call("KEYS", "*")) == others
    assert tenant.config == {}


def test_erase__takes_idempotency_keys_too(make_tenant: MakeTenant, settings: Any, route: str, valkey: Server) -> None:
    settings.UPSTASH_IDEMPOTENCY = {"ALIAS": route}
    for name in ("idempotency:acme:one", "idempotency:acme:two", "idempotency:acme2:one", "idempotency:globex:acme"):
        valkey.call("SET", name, "x")
    assert make_tenant("acme").erase().removed == 2
    assert valkey.call("DBSIZE") == 2


def test_erase__is_seen_at_once_past_the_near_tier(make_tenant: MakeTenant, settings: Any) -> None:
    settings.CACHES = {"default": {**settings.CACHES["default"], "OPTIONS": {"NEAR_CACHE": {"TTL": 3600}}}}
    tenant, other = make_tenant("acme"), make_tenant("globex")
    for one in (tenant, other):
        one.cache.set("key", "value")
        assert one.cache.get("key") == "value"
    assert tenant.erase().removed == 1
    assert (tenant.cache.get("key"), other.cache.get("key")) == (None, "value")


def shouted(key: str, key_prefix: str, version: int) -> str:
    return f"{key_prefix}:{version}:{key.upper()}"


def without_prefix(key: str, key_prefix: str, version: int) -> str:
    return f"{version}:{key}"


def test_key_function__that_begins_with_the_prefix(make_tenant: MakeTenant, settings: Any) -> None:
    settings.CACHES = {"default": {**settings.CACHES["default"], "KEY_FUNCTION": shouted}}
    tenant = make_tenant("acme")
    tenant.cache.set("key", "value")
    assert stored_tenants() == ["acme"]
    assert tenant.erase().removed == 1


def test_key_function__that_would_mix_tenants_is_refused(make_tenant: MakeTenant, settings: Any) -> None:
    """Whatever else there is of a tenant is erased, for nothing of it can be in such a cache."""
    settings.CACHES = {"default": {**settings.CACHES["default"], "KEY_FUNCTION": without_prefix}}
    tenant = make_tenant("acme")
    with pytest.raises(ImproperlyConfigured, match="tenants' keys are told apart"):
        tenant.cache.set("key", "value")
    tenant.configure(plan="pro")
    assert tenant.erase().removed == 1
    assert stored_tenants() == []


def test_erase__stops_and_goes_on(make_tenant: MakeTenant, valkey: Server) -> None:
    valkey.call("MSET", *(part for number in range(5000) for part in (f"shop:{{acme}}:1:{number}", "x")))
    valkey.call("SET", "shop:1:other", "x")
    fill("acme")
    tenant = make_tenant("acme")
    swept = tenant.erase(most=1000)
    removed = [swept.removed]
    while swept.cursor is not None:
        swept = tenant.erase(cursor=swept.cursor, most=1000)
        removed.append(swept.removed)
    assert sum(removed) == 5055
    assert len(removed) > 2
    assert set(valkey.call("KEYS", "*")) == {b"shop:1:other"}


def test_erase__goes_on_at_the_cursor_it_told_last(make_tenant: MakeTenant, valkey: Server) -> None:
    valkey.call("MSET", *(part for number in range(5000) for part in (f"shop:{{acme}}:1:{number}", "x")))
    fill("acme")
    told: list[Swept] = []

    def interrupt(swept: Swept) -> None:
        told.append(swept)
        if swept.removed >= 1500:
            raise KeyboardInterrupt

    tenant = make_tenant("acme")
    with pytest.raises(KeyboardInterrupt):
        tenant.erase(progress=interrupt)
    assert told[-1].cursor is not None
    rest = tenant.erase(cursor=told[-1].cursor)
    assert told[-1].removed + rest.removed == 5055
    assert valkey.call("DBSIZE") == 0
