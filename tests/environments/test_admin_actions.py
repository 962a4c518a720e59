"""What operators of one environment do in the admin, while another environment has the same names on one database."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from django_upstash.breaker import State
from django_upstash.breaker.report import force_breaker
from django_upstash.connections import connections
from django_upstash.ratelimit import FixedWindow, RateLimiter
from tests.environments.test_key_prefix import of, stored, within
from tests.servers import Server

pytestmark = pytest.mark.django_db
COUNTERS = "/admin/django_upstash/ratelimitcounter/do/"
BREAKERS = "/admin/django_upstash/circuitbreakerstate/do/"
COUNTER = "ratelimit:default:login:user:1"
PAIRS = [("", "preview-a"), ("preview-a", ""), ("preview-a", "preview-b")]


@pytest.fixture(params=["native", "rest"])
def operator(request: pytest.FixtureRequest, upstash: dict[str, dict[str, Any]], settings: Any) -> Client:
    settings.UPSTASH = {"default": upstash[request.param]}
    settings.UPSTASH_RATELIMIT = settings.UPSTASH_ADMIN = {"TIMEOUT": 20}
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("operator", password="x"))
    return client


def fill() -> None:
    limiter = RateLimiter(FixedWindow("9/h", scope="login"))
    limiter.hit("user:1")
    limiter.block("user:7", 3600)
    force_breaker(connections["default"], "stripe", State.FORCED_OPEN)


def do_everything(client: Client, prefixes: tuple[str, str]) -> None:
    """Send each action, for the names of this environment and for the stored keys of both."""
    keys = [f"{prefix}:{COUNTER}" if prefix else COUNTER for prefix in prefixes]
    for selected in keys:
        for action in ("reset", "block", "unblock", "limit"):
            form = {"selected": [selected], "seconds": "60", "limit": "3", "_confirmed": "1"}
            client.post(f"{COUNTERS}{action}/", {**form, "tenant": "default", "scope": "login"})
    for identity in ("user:1", "user:7", *keys):
        for action in ("block", "unblock"):
            form = {"tenant": "default", "identity": identity, "who": identity, "seconds": "60", "_confirmed": "1"}
            client.post(f"{COUNTERS}{action}/", form)
    for name in ("stripe", *(f"{prefix}:breaker:stripe" for prefix in prefixes if prefix)):
        for action in ("release", "force"):
            client.post(
                f"{BREAKERS}{action}/", {"selected": [name], "name": name, "state": "forced closed", "_confirmed": "1"}
            )


@pytest.mark.parametrize(("here", "other"), PAIRS)
def test_actions__of_one_environment_leave_the_other_alone(
    operator: Client, valkey: Server, here: str, other: str
) -> None:
    for prefix in (here, other):
        with within(prefix):
            fill()
    before = stored(valkey)
    with within(here):
        do_everything(operator, (here, other))
    after = stored(valkey)
    assert of(here, after) != of(here, before)
    assert (f"{here}:{COUNTER}" if here else COUNTER) not in after  # reset
    assert of(other, after) == of(other, before)
