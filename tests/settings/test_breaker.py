from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_upstash.breaker import CircuitBreaker
from django_upstash.breaker import settings as breaker_options
from django_upstash.breaker.checks import check_breakers
from django_upstash.breaker.settings import BreakerOptions, mistakes
from django_upstash.settings.environment import breaker_from_env


def test_options__each_has_a_rule() -> None:
    assert set(breaker_options.SCHEMA.rules) == {field.name.upper() for field in fields(BreakerOptions)}
    defaults = {field.name.upper(): field.default for field in fields(BreakerOptions)}
    assert list(mistakes(defaults)) == []


def test_options__the_nearest_go_first(settings: Any) -> None:
    settings.UPSTASH_BREAKER = {
        "TIMEOUT": timedelta(minutes=1),
        "PROBES": 3,
        "BREAKERS": {"stripe": {"TIMEOUT": 10, "SUCCESS_THRESHOLD": 1}},
    }
    other, stripe, made = CircuitBreaker("other"), CircuitBreaker("stripe"), CircuitBreaker("stripe", timeout=5)
    found = [(breaker.options.timeout, breaker.options.success_threshold) for breaker in (other, stripe, made)]
    assert found == [(60, 2), (10, 1), (5, 1)]
    assert stripe.options.probes == 3


def test_options__are_read_on_access(settings: Any) -> None:
    breaker = CircuitBreaker("stripe")
    assert (breaker.options.failure_threshold, breaker.options.timeout) == (5, 30)
    settings.UPSTASH_BREAKER = {"BREAKERS": {"stripe": {"TIMEOUT": 1}}}
    assert breaker.options.timeout == 1
    settings.UPSTASH_BREAKER["BREAKERS"]["stripe"]["TIMEOUT"] = 2
    assert breaker.options.timeout == 2


MISTAKES = [
    ([], "E401", "must be a dict, not list"),
    ({"TIMOUT": 3}, "E402", "unknown key 'TIMOUT'"),
    ({3: 3}, "E402", "unknown key 3"),
    ({"ENABLED": "yes"}, "E403", '["ENABLED"] must be True or False'),
    ({"ALIAS": ""}, "E404", "the name of a connection"),
    *(({"PROBES": value}, "E405", "a whole number from 1") for value in (0, 1.5, True, None, "3")),
    ({"WINDOW_CALLS": 0, "FAILURE_RATE": 0.5}, "E405", "None, or a whole number"),
    *(({"TIMEOUT": value}, "E406", "seconds above 0") for value in (0, -1, "30", True, None, float("nan"), 1e9)),
    ({"REFRESH": 0}, "E406", "None, or seconds"),
    *(({"FAILURE_RATE": value}, "E407", "a share above 0") for value in (0, 1.1, "half", True)),
    ({"FAILURE_RATE": 0.5, "WINDOW_CALLS": 20, "WINDOW_SECONDS": 60}, "E408", "both WINDOW_CALLS and WINDOW_SECONDS"),
    ({"WINDOW_CALLS": 20}, "E408", "a window and no FAILURE_RATE"),
    ({"FAILURE_RATE": 0.5, "WINDOW_CALLS": 5}, "E408", "MINIMUM_CALLS above WINDOW_CALLS (5)"),
    ({"BREAKERS": []}, "E409", '["BREAKERS"] must be a dict, not list'),
    ({"BREAKERS": {"stripe": 3}}, "E409", "['stripe'] must be a dict under the name of a breaker"),
    ({"BREAKERS": {"": {}}}, "E409", "must be a dict under the name of a breaker"),
    ({"BREAKERS": {"stripe": {"TIMEOUT": 0}}}, "E406", 'UPSTASH_BREAKER["BREAKERS"][\'stripe\']["TIMEOUT"] must be'),
    ({"FAILURE_RATE": 0.5, "BREAKERS": {"stripe": {"WINDOW_CALLS": 5}}}, "E408", "['stripe'] has MINIMUM_CALLS"),
]


@pytest.mark.parametrize(("given", "identifier", "words"), MISTAKES)
def test_mistakes__are_found_by_the_check_and_at_use(settings: Any, given: Any, identifier: str, words: str) -> None:
    settings.UPSTASH_BREAKER = given
    (message,) = check_breakers()
    assert message.id == f"django_upstash.{identifier}"
    assert words in message.msg
    assert message.hint
    with pytest.raises(ImproperlyConfigured) as caught:
        CircuitBreaker("stripe").options  # noqa: B018
    assert message.msg in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timout": 3}, "CircuitBreaker('stripe') has an unknown key 'timout'. Did you mean timeout?"),
        ({"TIMEOUT": 3}, "CircuitBreaker('stripe') has an unknown key 'TIMEOUT'. Did you mean timeout?"),
        ({"timeout": 0}, "CircuitBreaker('stripe'): timeout must be seconds above 0"),
        ({"failure_rate": 0.5, "window_calls": 5}, "CircuitBreaker('stripe') has MINIMUM_CALLS above"),
    ],
)
def test_mistakes__of_what_a_breaker_is_made_with(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        CircuitBreaker("stripe", **options).call(int)
    assert words in str(caught.value)


def test_check__an_alias_that_is_no_connection(settings: Any) -> None:
    settings.UPSTASH = {"default": {"URL": "embedded://"}}
    settings.UPSTASH_BREAKER = {"ALIAS": "elsewhere", "BREAKERS": {"stripe": {"ALIAS": "nowhere"}, "mail": {}}}
    assert [(message.id, message.msg.partition(",")[0]) for message in check_breakers()] == [
        ("django_upstash.E404", "UPSTASH_BREAKER is on 'elsewhere'"),
        ("django_upstash.E404", "UPSTASH_BREAKER[\"BREAKERS\"]['stripe'] is on 'nowhere'"),
    ]
    settings.UPSTASH = {"main": {"URL": "embedded://"}}
    settings.UPSTASH_BREAKER = {}
    assert check_breakers() == []
    settings.UPSTASH = {}
    assert check_breakers() == []


def test_breaker_from_env__names_the_defaults(settings: Any) -> None:
    environ = {
        "CIRCUIT_BREAKER_ENABLED": "true",
        "CIRCUIT_BREAKER_FAILURE_THRESHOLD": "7",
        "CIRCUIT_BREAKER_SUCCESS_THRESHOLD": "3",
        "CIRCUIT_BREAKER_TIMEOUT": "45s",
    }
    settings.UPSTASH_BREAKER = breaker_from_env(environ, PROBES=2)
    options = CircuitBreaker("stripe").options
    assert (options.failure_threshold, options.success_threshold, options.timeout, options.probes) == (7, 3, 45, 2)


def test_breaker_from_env__of_an_empty_environment(settings: Any) -> None:
    settings.UPSTASH_BREAKER = breaker_from_env({})
    options = CircuitBreaker("stripe").options
    assert (options.enabled, options.failure_threshold, options.success_threshold, options.timeout) == (True, 5, 2, 30)
    assert breaker_from_env({"CIRCUIT_BREAKER_ENABLED": "false"}) == {"ENABLED": False}
