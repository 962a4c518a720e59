from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_upstash.ratelimit import TokenBucket, default_policy
from django_upstash.ratelimit.settings import ratelimit_settings
from django_upstash.settings.environment import ratelimit_from_env


def test_ratelimit_settings__defaults(settings: Any) -> None:
    found = ratelimit_settings()
    assert (found.enabled, found.on_failure, found.timeout, found.shadow) == (True, "open", 0.25, False)


def test_ratelimit_settings__are_read_on_access(settings: Any) -> None:
    settings.UPSTASH_RATELIMIT = {"ON_FAILURE": "closed", "TIMEOUT": 1}
    assert (ratelimit_settings().on_failure, ratelimit_settings().timeout) == ("closed", 1)
    settings.UPSTASH_RATELIMIT["TIMEOUT"] = 2
    assert ratelimit_settings().timeout == 2
    del settings.UPSTASH_RATELIMIT
    assert ratelimit_settings().timeout == 0.25


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "must be a dict, not list"),
        ({"ON_FAIL": "open"}, "unknown key 'ON_FAIL'. Did you mean ON_FAILURE?"),
        ({"ENABLED": "yes"}, r'\["ENABLED"\] must be True or False'),
        ({"ON_FAILURE": "ajar"}, '"open", "closed" or "local"'),
        ({"ON_REFUSAL": "ajar"}, r'\["ON_REFUSAL"\] must be "open", "closed" or "local"'),
        ({"TIMEOUT": 0}, "a number of seconds above 0"),
        ({"REMEMBERED": 0}, "a whole number above 0"),
        ({"POLICIES": ["1/month"]}, r'\["POLICIES"\]: The rate \'1/month\' has the period'),
    ],
)
def test_ratelimit_settings__mistakes_are_named(settings: Any, given: Any, sentence: str) -> None:
    settings.UPSTASH_RATELIMIT = given
    with pytest.raises(ImproperlyConfigured, match=sentence):
        ratelimit_settings()


def test_ratelimit_from_env__names_the_default_policy(settings: Any) -> None:
    environ = {"RATE_LIMIT_REQUESTS_PER_MINUTE": "60", "RATE_LIMIT_BURST_SIZE": "10"}
    settings.UPSTASH_RATELIMIT = ratelimit_from_env(environ, ON_FAILURE="closed")
    assert default_policy() == TokenBucket("60/min", burst=10)
    assert (ratelimit_settings().enabled, ratelimit_settings().on_failure) == (True, "closed")


def test_ratelimit_from_env__of_an_empty_environment(settings: Any) -> None:
    settings.UPSTASH_RATELIMIT = ratelimit_from_env({})
    assert (ratelimit_settings().enabled, default_policy()) == (True, None)
    assert ratelimit_from_env({"RATE_LIMIT_ENABLED": "false"}) == {"ENABLED": False}
