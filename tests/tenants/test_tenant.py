"""One tenant's cache, limits and configuration, and what they cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured

from django_upstash.ratelimit import FixedWindow
from django_upstash.tenants import Tenant
from tests.servers import Server
from tests.tenants.conftest import BACKEND, MakeTenant

pytestmark = pytest.mark.matrix

Counting = Callable[[], Any]


def keys(valkey: Server) -> set[str]:
    return {key.decode() for key in valkey.call("KEYS", "*")}


def test_cache__is_the_tenants_own(make_tenant: MakeTenant, valkey: Server) -> None:
    one, other = make_tenant("acme"), make_tenant("globex")
    one.cache.set("key", {"of": "acme"})
    assert (one.cache.get("key"), other.cache.get("key"), caches["default"].get("key")) == ({"of": "acme"}, None, None)
    assert keys(valkey) == {"shop:{acme}:1:key"}


def test_cache__clears_its_own_part(make_tenant: MakeTenant, valkey: Server) -> None:
    one, other = make_tenant("acme"), make_tenant("globex")
    for cache in (one.cache, other.cache, caches["default"]):
        cache.set("key", 1)
    one.cache.set("key", 1, version=2)
    one.cache.clear()
    assert keys(valkey) == {"shop:{globex}:1:key", "shop:1:key"}
    caches["default"].clear()
    assert keys(valkey) == {"shop:{globex}:1:key"}


def test_cache__a_value_moved_to_another_tenant_is_a_miss(make_tenant: MakeTenant, valkey: Server) -> None:
    one, other = make_tenant("acme"), make_tenant("globex")
    one.cache.set("key", {"of": "acme"})
    valkey.call("RENAME", "shop:{acme}:1:key", "shop:{globex}:1:key")
    assert other.cache.get("key") is None


def test_cache__costs_what_any_cache_costs(make_tenant: MakeTenant, counting: Counting) -> None:
    cache = make_tenant("acme").cache
    cache.set("key", 1)
    with counting() as cost:
        assert cache.get("key") == 1
    assert cost == (1, 1)


@pytest.mark.usefixtures("configure")
def test_cache__of_another_backend_is_refused(settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    with pytest.raises(ImproperlyConfigured, match="CACHES has no 'default' of this package"):
        _ = Tenant("acme").cache


@pytest.mark.usefixtures("configure")
def test_cache_in__another_alias_without_a_prefix(settings: Any, route: str, valkey: Server) -> None:
    settings.CACHES = {**settings.CACHES, "pages": {"BACKEND": BACKEND, "LOCATION": route}}
    Tenant("acme").cache_in("pages").set("home", 1)
    assert keys(valkey) == {"{acme}:1:home"}


@pytest.mark.usefixtures("configure")
def test_limiter__counts_for_the_tenant(route: str) -> None:
    policy = FixedWindow("1/h", scope="login")
    one, other = Tenant("acme").limiter(policy), Tenant("globex").limiter(policy)
    assert (one.alias, one.tenant) == (route, "acme")
    assert [limiter.hit("user:1").allowed for limiter in (one, one, other)] == [True, False, True]


def test_config__is_what_was_stored(make_tenant: MakeTenant) -> None:
    tenant = make_tenant("acme")
    assert dict(tenant.config) == {}
    tenant.configure(plan="pro", seats=5, limits={"déjà": [1.5, None, True]})
    assert tenant.config == {"plan": "pro", "seats": 5, "limits": {"déjà": [1.5, None, True]}}
    tenant.unconfigure("seats", "limits")
    tenant.configure()
    tenant.unconfigure()
    assert make_tenant("acme").config == {"plan": "pro"}
    assert make_tenant("globex").config == {}


def test_config__costs_one_command_an_interval(make_tenant: MakeTenant, counting: Counting) -> None:
    make_tenant("acme").configure(plan="pro")
    with counting() as cost:
        _ = make_tenant("acme").config
    assert cost == (1, 1)
    with counting() as cost:
        for _ in range(100):
            assert make_tenant("acme").config["plan"] == "pro"
            assert not make_tenant("acme").flags.is_active("new")
    assert cost == (0, 0)


def test_configure__costs_one_command(make_tenant: MakeTenant, counting: Counting) -> None:
    tenant = make_tenant("acme")
    tenant.configure(plan="free")
    with counting() as cost:
        tenant.configure(plan="pro", seats=5)
    assert cost == (1, 1)


def test_config__what_others_change_is_seen_after_the_interval(
    make_tenant: MakeTenant, configure: Any, valkey: Server
) -> None:
    tenant = make_tenant("acme")
    tenant.configure(plan="pro")
    assert tenant.config["plan"] == "pro"
    valkey.call("HSET", "tenant:{acme}", "config plan", '"free"')
    assert tenant.config["plan"] == "pro"
    configure(REFRESH=0)
    assert tenant.config["plan"] == "free"


def test_config__what_others_have_spoilt_is_passed_over(make_tenant: MakeTenant, valkey: Server) -> None:
    spoilt = ("config plan", "{", "flag new", "[1]", "flag old", '{"percent": 101}', "sample x", "many", "strange", "x")
    valkey.call("HSET", "tenant:{acme}", "config seats", "5", *spoilt)
    tenant = make_tenant("acme")
    assert tenant.config == {"seats": 5}
    assert not tenant.flags.is_active("new")
    assert not tenant.flags.sample_is_active("x")


@pytest.mark.usefixtures("configure")
def test_config__is_read_only() -> None:
    with pytest.raises(TypeError):
        Tenant("acme").config["plan"] = "pro"  # type: ignore[index]


@pytest.mark.usefixtures("configure")
def test_configure__takes_what_json_can_carry() -> None:
    for value in (object(), {1, 2}, float("nan")):
        with pytest.raises((TypeError, ValueError)):
            Tenant("acme").configure(plan=value)


def test_prefix__keeps_sites_apart(make_tenant: MakeTenant, configure: Any, valkey: Server) -> None:
    configure(PREFIX="shop")
    make_tenant("acme").configure(plan="pro")
    assert keys(valkey) == {"shop:tenant:{acme}"}
    configure(PREFIX="blog")
    assert make_tenant("acme").config == {}


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("", ValueError, "must not be empty"),
        (None, TypeError, "must be text, not NoneType"),
        (b"acme", TypeError, "must be text, not bytes"),
        ("a" * 101, ValueError, "at most 100 characters"),
        ("é" * 17, ValueError, "at most 100 characters"),
        ("default", ValueError, "what limiters without a tenant count under"),
    ],
)
def test_name__that_cannot_be_one(name: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Tenant(name)


def test_tenant__equals_those_of_its_name() -> None:
    assert Tenant("acme") == Tenant("acme") != Tenant("globex")
    assert len({Tenant("acme"), Tenant("acme")}) == 1
    assert (repr(Tenant("acme")), str(Tenant("acme"))) == ("<Tenant 'acme'>", "acme")
