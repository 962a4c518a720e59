"""``redis_health tenants``."""

from __future__ import annotations

import json
import re
from typing import Any, TypeAlias

import pytest

from django_upstash.dev_server import LocalServer
from django_upstash.ratelimit import FixedWindow
from django_upstash.tenants import Tenant
from tests.management.calls import failing_health, health
from tests.servers import Server

Upstash: TypeAlias = dict[str, dict[str, Any]]
SECRET = "example-secret-value"


@pytest.fixture(params=["native", "rest"])
def alias(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def filled(upstash: Upstash, settings: Any, alias: str) -> None:
    settings.UPSTASH = {"default": upstash[alias], "other": upstash["native"]}
    settings.CACHES = {
        "default": {"BACKEND": "django_upstash.cache.UpstashCache", "LOCATION": "other", "KEY_PREFIX": "shop"}
    }
    settings.UPSTASH_RATELIMIT = {"TIMEOUT": 20}
    settings.DEBUG = True
    for name in ("acme", "g*"):
        tenant = Tenant(name)
        tenant.configure(plan="pro", api_key=SECRET)
        tenant.flags.set("new", everyone=True)
        tenant.flags.set_switch("dark", True)
        tenant.cache.set_many({f"key{number}": "x" for number in range(20)})
        tenant.limiter(FixedWindow("9/h", scope="login")).hit("user:1")
        tenant.usage.add("tokens", 1234)
        tenant.usage.flush()


def keys(valkey: Server) -> set[str]:
    return {key.decode() for key in valkey.call("KEYS", "*")}


@pytest.mark.usefixtures("filled")
def test_tenants__lists_them() -> None:
    lines = health("tenants").splitlines()
    assert re.fullmatch(r"2 tenants on default \(3 requests, 3 commands\)", lines[0])
    assert lines[1:] == ["  acme", "  g*"]


@pytest.mark.usefixtures("filled")
def test_tenants__shows_one_without_its_values() -> None:
    said = health("tenants", "acme")
    rows = {row[0]: row[1] for line in said.splitlines()[2:] if len(row := re.split(r"  +", line.strip())) == 3}
    assert rows == {"config": "1", "usage": "2", "limits": "1", "idempotency": "0", "cache:default": "20"}
    assert "  config: api_key, plan\n  flags: new\n  switches: dark\n  samples: none\n" in said
    assert "tokens 1,234" in said
    assert SECRET not in said


@pytest.mark.usefixtures("filled")
def test_tenants__shows_another_period() -> None:
    assert "  usage 202001: none" in health("tenants", "acme", "--period", "202001")


@pytest.mark.usefixtures("filled")
def test_tenants__shows_one_that_is_not_there() -> None:
    said = health("tenants", "nobody", "--erase")
    assert "Nothing was removed" not in said
    assert "usage" in said


@pytest.mark.usefixtures("filled")
def test_tenants__speaks_json() -> None:
    said = json.loads(health("tenants", "--json"))
    assert (said["tenants"], said["status"]) == (["acme", "g*"], "ok")
    said = json.loads(health("tenants", "acme", "--json"))
    assert (said["config"], said["usage"]) == (["api_key", "plan"], {"tokens": 1234})
    assert {kind["name"]: kind["keys"] for kind in said["stored"]}["cache:default"] == 20
    said = json.loads(health("tenants", "acme", "--json", "--erase", "--yes"))
    assert said["removed"] == 24


@pytest.mark.usefixtures("filled")
def test_tenants__erases_after_a_preview(valkey: Server) -> None:
    before = keys(valkey)
    assert "Nothing was removed: add --yes" in health("tenants", "g*", "--erase")
    assert keys(valkey) == before
    assert health("tenants", "g*", "--erase", "--yes").startswith("Removed 24 keys of the tenant g* (")
    assert len(keys(valkey)) == 24
    assert all("acme" in key for key in keys(valkey))


@pytest.mark.usefixtures("filled")
def test_tenants__refuses_where_debug_is_off(settings: Any, valkey: Server) -> None:
    settings.DEBUG = False
    before = keys(valkey)
    code, message, _ = failing_health("tenants", "acme", "--erase", "--yes")
    assert (code, keys(valkey)) == (2, before)
    assert "add --force" in message
    assert health("tenants", "acme", "--erase", "--yes", "--force").startswith("Removed 24 keys")


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("alias", ["rest"], indirect=True)
def test_tenants__says_how_to_go_on_where_it_was_interrupted(local_server: LocalServer, settings: Any) -> None:
    local_server.inject("reset")
    code, message, said = failing_health("tenants", "acme", "--erase", "--yes")
    assert (code, message[:9]) == (1, "default: ")
    found = re.search(r" so far\. Continue with: python manage\.py redis_health (.+ --cursor \S+)\n", said)
    assert found is not None
    assert health(*found[1].split()).startswith("Removed 24 keys of the tenant acme")


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--erase"], "--erase needs the name of a tenant"),
        (["acme", "--yes"], "--yes goes with --erase"),
        (["acme", "--force"], "--force and --cursor go with --yes"),
        (["acme", "--erase", "--cursor", "5"], "--force and --cursor go with --yes"),
        (["acme", "--erase", "--yes", "--cursor", "x"], "--cursor must be what an earlier run has printed"),
        (["acme", "--limit", "0"], "--limit must be from 1"),
        (["default"], "give the tenant another name"),
        (["acme", "--period", "May"], "A period is written as"),
    ],
)
def test_tenants__says_what_makes_no_sense(arguments: list[str], sentence: str) -> None:
    code, message, _ = failing_health("tenants", *arguments)
    assert (code, sentence in message) == (2, True), message


def test_tenants__an_away_server_is_unhealthy(settings: Any) -> None:
    settings.UPSTASH = {"default": {"URL": "redis://127.0.0.1:1"}}
    code, message, _ = failing_health("tenants")
    assert (code, message.startswith("default: Nothing listens at 127.0.0.1:1.")) == (1, True)


def test_tenants__wrong_settings(settings: Any) -> None:
    settings.UPSTASH = {"default": {"URL": "redis://127.0.0.1:1"}}
    settings.UPSTASH_TENANTS = {"REFRESH": -1}
    code, message, _ = failing_health("tenants")
    assert (code, 'UPSTASH_TENANTS["REFRESH"] must be seconds' in message) == (2, True)
