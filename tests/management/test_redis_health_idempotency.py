"""``redis_health idempotency``."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

import pytest

from django_upstash.idempotency import IdempotencyStore
from tests.management.calls import failing_health, health
from tests.servers import Server

Upstash: TypeAlias = dict[str, dict[str, Any]]

aliases = pytest.mark.parametrize("alias", ["native", "rest"])


@pytest.fixture
def filled(upstash: Upstash, settings: Any) -> None:
    del upstash["embedded"]
    settings.UPSTASH_IDEMPOTENCY = {"ALIAS": "native"}
    for tenant, done in (("shop", 3), ("sh*p", 1)):
        store = IdempotencyStore(tenant=tenant, ttl=5000, in_progress_ttl=40)
        for number in range(done):
            store.complete(store.begin(f"done {number}"), "secret")
        store.begin("working")


@aliases
@pytest.mark.usefixtures("filled")
def test_idempotency__tells_states_lifetimes_and_sizes(alias: str) -> None:
    found = json.loads(health("idempotency", alias, "--json"))
    assert (found["status"], found["alias"], found["keys"], found["measured"]) == ("ok", alias, 6, 6)
    assert found["states"] == {"in_progress": 2, "done": 4, "foreign": 0}
    assert 0 < found["ttl_seconds"]["min"] <= 40 < 4900 < found["ttl_seconds"]["max"] <= 5000
    assert 50 < found["bytes"]["min"] < found["bytes"]["max"] < 200
    assert (found["without_ttl"], found["warnings"], found["is_complete"]) == (0, [], True)

    text = health("idempotency", alias)
    assert text.startswith(f"6 keys on {alias} (")
    assert "in progress   2" in text
    assert "secret" not in text


@pytest.mark.usefixtures("filled")
def test_idempotency__of_one_tenant() -> None:
    for tenant, count in (("shop", 4), ("sh*p", 2), ("nobody", 0)):
        found = json.loads(health("idempotency", "--json", tenant=tenant))
        assert (found["tenant"], found["keys"], found["alias"]) == (tenant, count, "native")
    assert health("idempotency", tenant="nobody").startswith("0 keys of nobody on native")


@pytest.mark.usefixtures("filled")
def test_idempotency__warns_of_what_stays_and_of_what_is_foreign(valkey: Server) -> None:
    valkey.call("PERSIST", "idempotency:shop:working")
    valkey.call("SET", "idempotency:shop:foreign", "x", "EX", "50")
    valkey.call("LPUSH", "idempotency:shop:list", "x")
    found = json.loads(health("idempotency", "--json"))
    assert (found["status"], found["states"]["foreign"], found["without_ttl"]) == ("warn", 2, 1)
    text = health("idempotency")
    assert "1 key of 8 measured have no TTL" in text
    assert "2 keys of 8 measured are none of this package's" in text


@pytest.mark.usefixtures("filled")
def test_idempotency__is_bounded() -> None:
    assert json.loads(health("idempotency", "--json", "--sample", "2"))["measured"] == 2
    for wrong in (("--limit", "0"), ("--sample", "-1")):
        _, message, _ = failing_health("idempotency", *wrong)
        assert "--limit must be from 1" in message
