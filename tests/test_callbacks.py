"""
What functions of the site return is awaited, or refused by a TypeError that names the parameter; never used as it is.

The parameters and settings that take a function are found by their annotations and rules, so that a new one has to be
added to ``CASES``.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpResponse
from django.test import RequestFactory

from django_upstash import callbacks
from django_upstash.breaker import CircuitBreaker
from django_upstash.ratelimit.web import ratelimit
from django_upstash.settings.schema import Schema
from tests.callback_cases import (
    CASES,
    SETTINGS,
    Plain,
    astatuses,
    async_view,
    awaitables,
    coroutine_of,
    limited,
    number,
    plain_view,
    statuses,
)

PUBLIC = (
    *("breaker", "cache", "health.views", "idempotency", "locks", "pubsub", "queues", "ratelimit", "sessions"),
    *("ratelimit.web", "ratelimit.web.view_limit", "tenants", "throttling", "health.unavailable", "observability"),
    *("cache.signals", "codecs", "queues.codecs", "breaker.signals"),
)
OPTIONS = (
    *(
        f"{feature}.settings"
        for feature in ("breaker", "cache", "idempotency", "ratelimit", "sessions", "tasks", "tenants")
    ),
    "settings.admin",
)
# Names of types that are functions, found in annotations.
FUNCTION = re.compile(r"\b(Callable|ChargeWhen|Details|Fallback|Find|Identify|OnGap|Progress|Refuse)\b")
# Parameters that take a function and are no callbacks of the site, with the reason.
NO_CALLBACKS = {
    "function": "what a breaker guards: tests/breaker/test_guarding.py",
    "get_response": "the next middleware, by Django",
    "proceed": "the view, by our decorator and middleware",
    "through": "our own way to a connection that counts",
    "fall_back.fallback": "our own, one for each method of the cache",
    "identify": "what `identity` names",
    "given": "what `identity` names",
    "MOVE_FROM": "the dotted path of a session engine",
    "PREFIX": "a text, which may have dots",
    "SUBDOMAIN_OF": "a domain",
}
SYNC = [name for name, case in CASES.items() if case.arun is None]


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest, upstash: Any, settings: Any) -> str:
    settings.UPSTASH_RATELIMIT = {"TIMEOUT": 20}
    SETTINGS.use(settings)
    return str(request.param)


@pytest.mark.parametrize("name", CASES)
def test_synchronously__is_awaited_or_refused_by_name(name: str, route: str) -> None:
    case = CASES[name]
    expected = case.run(lambda *args: case.value, route)
    for kind, callback in awaitables(case.value).items():
        found = outcome(lambda: case.run(callback, route))  # noqa: B023
        assert found == expected or case.named in found, kind


@pytest.mark.parametrize("name", [name for name in CASES if name not in SYNC])
def test_asynchronously__is_awaited_or_refused_by_name(name: str, route: str) -> None:
    case = CASES[name]
    arun: Any = case.arun
    for kind, callback in {"a plain function": lambda *args: case.value, **awaitables(case.value)}.items():
        found = outcome(lambda: asyncio.run(arun(callback, route)))  # noqa: B023
        expected = asyncio.run(arun(lambda *args: case.value, route))
        assert found == expected or case.named in found, kind


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.takes_anything])
def test_plain_object__is_refused_by_name(name: str, route: str) -> None:
    case = CASES[name]
    runs: list[Any] = [case.run]
    if (arun := case.arun) is not None:
        runs.append(lambda callback, route: asyncio.run(arun(callback, route)))
    for run in runs:
        with pytest.raises(TypeError, match=re.escape(case.named)):
            run(lambda *args: Plain(), route)


def outcome(run: Callable[[], Any]) -> Any:
    """Return what a run returns, or the text of its ``TypeError``."""
    try:
        return run()
    except TypeError as error:
        return str(error)


def parameters_that_take_a_function() -> set[str]:
    """Return ``function.parameter`` and ``Class.attribute`` of the public API, by their annotations."""
    found = set()
    for name in PUBLIC:
        module = importlib.import_module(f"django_upstash.{name}")
        public = getattr(module, "__all__", [word for word in vars(module) if not word.startswith("_")])
        for owner in (getattr(module, word) for word in public):
            if inspect.isclass(owner) and owner.__module__.startswith("django_upstash"):
                found |= set(of_class(owner))
            elif inspect.isfunction(owner):
                found |= set(of_function(owner))
    return found


def of_class(cls: type) -> Iterator[str]:
    for base in cls.__mro__:
        if base.__module__.startswith("django_upstash"):
            yield from (
                f"{base.__name__}.{name}"
                for name, annotation in vars(base).get("__annotations__", {}).items()
                if FUNCTION.search(str(annotation)) and not name.startswith("_")
            )
    for name, function in inspect.getmembers(cls, inspect.isfunction):
        if name in ("__init__", "__call__") or not name.startswith("_"):
            yield from of_function(function)


def of_function(function: Any) -> Iterator[str]:
    for parameter in inspect.signature(function).parameters.values():
        if FUNCTION.search(str(parameter.annotation)):
            yield f"{function.__name__}.{parameter.name}"


def settings_that_take_a_function() -> set[str]:
    """Return the keys of settings that accept a function, or the dotted path of anything."""
    found = set()
    for name in OPTIONS:
        module = importlib.import_module(f"django_upstash.{name}")
        schemas = [found for found in vars(module).values() if isinstance(found, Schema)]
        assert schemas
        for key, rule in chain.from_iterable(schema.rules.items() for schema in schemas):
            is_path = rule.accepts("shop.views.function") and not rule.accepts("!")
            if is_path or (rule.accepts(["shop.views.function"]) and not rule.accepts(["!"])) or rule.accepts(Plain):
                found.add(key)
    return found


def test_every_parameter_and_setting__has_a_case() -> None:
    given = {name.rpartition(".")[2] for name in parameters_that_take_a_function() if not is_no_callback(name)}
    covered = set(re.findall(r"\w+", " ".join(CASES)))
    settings = {name for name in settings_that_take_a_function() if not is_no_callback(name)}
    assert given | settings <= covered
    assert {
        "identity",
        "cost",
        "charge_when",
        "refuse",
        "tenant",
        "fallback",
        "on_gap",
        "progress",
        "principal",
        "fingerprint",
    } <= given
    assert settings == {"IDENTITY", "FIND", "LIMITERS", "PRINCIPAL"}


def is_no_callback(name: str) -> bool:
    return name in NO_CALLBACKS or name.rpartition(".")[2] in NO_CALLBACKS


def test_head__is_limited_where_get_is(route: str) -> None:
    view = limited("2/min", alias=route, identity=lambda request: "ann", methods=["GET"])(plain_view)
    factory = RequestFactory()
    codes = [
        view(make("/")).status_code for make in (factory.head, factory.get, factory.head, factory.get, factory.post)
    ]
    assert codes == [200, 200, 429, 429, 200]


class ViewObject:
    def __call__(self, request: Any, answer: int = 200) -> HttpResponse:
        return HttpResponse(status=answer)


class AsyncViewObject:
    async def __call__(self, request: Any) -> HttpResponse:
        return HttpResponse()


def view_with_argument(request: Any, answer: int) -> HttpResponse:
    return HttpResponse(status=answer)


async def async_view_with_argument(request: Any, answer: int) -> HttpResponse:
    return HttpResponse(status=answer)


@pytest.mark.parametrize("view", [ViewObject(), partial(view_with_argument, answer=200)], ids=["object", "partial"])
def test_decorator__of_objects_and_partials(view: Any, route: str) -> None:
    assert statuses(ratelimit("2/min", alias=route, identity=lambda request: "ann")(view)) == [200, 200, 429]


@pytest.mark.parametrize(
    "view", [AsyncViewObject(), partial(async_view_with_argument, answer=200)], ids=["object", "partial"]
)
def test_decorator__of_asynchronous_objects_and_partials(view: Any, route: str) -> None:
    guarded = ratelimit("2/min", alias=route, identity=lambda request: "ann")(view)
    assert iscoroutinefunction(guarded)
    assert asyncio.run(astatuses(guarded)) == [200, 200, 429]
    breaker_guarded = CircuitBreaker(f"view {next(number)}", alias=route)(view)
    assert asyncio.run(astatuses(breaker_guarded)) == [200, 200, 200]


def test_is_async__knows_what_is_marked() -> None:
    def view(request: Any) -> Any:
        return async_view(request)

    assert not callbacks.is_async(view)
    markcoroutinefunction(view)
    assert callbacks.is_async(view)


def test_settle__on_a_running_loop_says_what_cannot_be_awaited() -> None:
    async def on_a_loop() -> Any:
        return callbacks.call("identity", lambda: coroutine_of(1))

    with pytest.raises(TypeError, match=r"identity returned an awaitable \(coroutine\), which synchronous code on"):
        asyncio.run(on_a_loop())
