"""Every parameter and setting that takes a function of the site: how it is given one, and what follows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

from django.http import HttpResponse
from django.test import AsyncRequestFactory, RequestFactory

from django_upstash.breaker import CircuitBreaker
from django_upstash.cache import UpstashCache
from django_upstash.health import views as health
from django_upstash.idempotency import idempotent
from django_upstash.pubsub import Gap, subscribe
from django_upstash.ratelimit import RateLimiter, SlidingWindow
from django_upstash.ratelimit.report import limiters as admin_limiters
from django_upstash.ratelimit.web import RateLimitMiddleware, ratelimit
from django_upstash.tenants import Tenant, current_tenant
from django_upstash.tenants.middleware import TenantMiddleware
from django_upstash.throttling import RateThrottle, TenantRateThrottle
from tests.throttling.conftest import serve

number = count()


class _Settings:
    """The settings of the running test, which ``use`` names: what cases set ends with it."""

    def use(self, settings: Any) -> None:
        object.__setattr__(self, "_settings", settings)

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_settings"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(object.__getattribute__(self, "_settings"), name, value)


SETTINGS: Any = _Settings()


class Plain:
    """An object with a different repr each time, which is always true."""


class Later:
    """An awaitable that is no coroutine."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, Any, Any]:
        yield from asyncio.sleep(0).__await__()
        return self.value


class AsyncCall:
    def __init__(self, value: Any) -> None:
        self.value = value

    async def __call__(self, *args: Any) -> Any:
        return self.value


async def coroutine_of(value: Any, *args: Any) -> Any:
    return value


def awaitables(value: Any) -> dict[str, Callable[..., Any]]:
    """Return functions of each kind whose result, once it is awaited, is the value."""

    async def coroutine_function(*args: Any) -> Any:
        return value

    return {
        "a coroutine function": coroutine_function,
        "a partial of one": partial(coroutine_of, value),
        "an object with async __call__": AsyncCall(value),
        "a function that returns a coroutine": lambda *args: coroutine_of(value),
        "a function that returns an awaitable": lambda *args: Later(value),
    }


@dataclass(frozen=True)
class Case:
    """How a function is given, and what follows from one that returns ``value``."""

    value: Any
    run: Callable[[Callable[..., Any], str], Any]
    arun: Callable[[Callable[..., Any], str], Any] | None = None
    named: str = ""
    takes_anything: bool = False  # what it returns is for the site, or is not looked at


def limited(*policies: Any, **terms: Any) -> Any:
    return ratelimit(*policies, scope=f"scope {next(number)}", **terms)


def statuses(view: Any) -> list[int]:
    return [view(RequestFactory().get("/")).status_code for _ in range(3)]


async def astatuses(view: Any) -> list[int]:
    return [(await view(AsyncRequestFactory().get("/"))).status_code for _ in range(3)]


def plain_view(request: Any) -> HttpResponse:
    return HttpResponse()


async def async_view(request: Any) -> HttpResponse:
    return HttpResponse()


def decorator_case(name: str, value: Any, policy: Any = "2/min", **other: Any) -> Case:
    def decorated(callback: Any, route: str, view: Any) -> Any:
        terms = {"tenant": f"tenant {next(number)}", "alias": route, name: callback, **other}
        return limited(policy, **terms)(view)

    def run(callback: Any, route: str) -> list[int]:
        return statuses(decorated(callback, route, plain_view))

    async def arun(callback: Any, route: str) -> list[int]:
        return await astatuses(decorated(callback, route, async_view))

    return Case(value, run, arun, named=name)


def middleware_case() -> Case:
    def configured(callback: Any, route: str) -> None:
        policy = SlidingWindow("2/min", scope=f"scope {next(number)}")
        SETTINGS.UPSTASH_RATELIMIT = {"TIMEOUT": 20, "IDENTITY": callback, "POLICIES": [policy]}
        SETTINGS.UPSTASH = {"default": SETTINGS.UPSTASH[route], **SETTINGS.UPSTASH}

    def run(callback: Any, route: str) -> list[int]:
        configured(callback, route)
        return statuses(RateLimitMiddleware(plain_view))

    async def arun(callback: Any, route: str) -> list[int]:
        configured(callback, route)
        return await astatuses(RateLimitMiddleware(async_view))

    return Case("ann", run, arun, named="identity=")


def throttle_case(name: str, value: Any, **attributes: Any) -> Case:
    def run(callback: Any, route: str) -> list[int]:
        made = {"scope": f"scope {next(number)}", "rate": "2/min", "alias": route, **attributes}
        made |= {name: staticmethod(callback) if name != "charge_when" else callback}
        base = TenantRateThrottle if name == "get_tenant" else RateThrottle
        throttle = type("Throttle", (base,), {"get_cache_key": lambda self, *args: made["scope"], **made})
        if name == "get_tenant":
            del throttle.get_cache_key  # type: ignore[attr-defined]
        return [serve(throttle).status_code for _ in range(3)]

    return Case(value, run, named=name)


def throttle_cost() -> Case:
    def run(callback: Any, route: str) -> list[int]:
        made = {"scope": f"scope {next(number)}", "rate": "4/min", "alias": route, "get_cache_key": lambda *args: "ann"}
        throttle = type("Throttle", (RateThrottle,), made)
        return [serve(throttle, throttle_cost=staticmethod(callback)).status_code for _ in range(3)]

    return Case(2, run, named="throttle_cost")


def breaker(callback: Any, route: str) -> CircuitBreaker:
    return CircuitBreaker(f"breaker {next(number)}", fallback=callback, alias=route)


def fails() -> Any:
    raise OSError("the other side")


async def afails() -> Any:
    fails()


def readiness(callback: Any, route: str) -> Any:
    return keys_shown(health.readiness(RequestFactory().get("/"), [route], timeout=20, details=callback))


async def areadiness(callback: Any, route: str) -> Any:
    return keys_shown(await health.areadiness(RequestFactory().get("/"), [route], timeout=20, details=callback))


def keys_shown(response: HttpResponse) -> Any:
    import json

    return {alias: type(shown).__name__ for alias, shown in json.loads(response.content)["connections"].items()}


FOUND: list[Callable[..., Any]] = []


def found_by_the_test(request: Any) -> Any:
    return FOUND[-1](request)


def tenant_case() -> Case:
    def configure(callback: Any, route: str) -> None:
        FOUND.append(callback)
        SETTINGS.UPSTASH_TENANTS = {"FIND": f"{__name__}.found_by_the_test", "ALIAS": route}

    def tenant(request: Any) -> HttpResponse:
        return HttpResponse(repr(current_tenant()))

    async def atenant(request: Any) -> HttpResponse:
        return tenant(request)

    def run(callback: Any, route: str) -> bytes:
        configure(callback, route)
        return bytes(TenantMiddleware(tenant)(RequestFactory().get("/")).content)  # type: ignore[union-attr]

    async def arun(callback: Any, route: str) -> bytes:
        configure(callback, route)
        return bytes((await TenantMiddleware(atenant)(AsyncRequestFactory().get("/"))).content)  # type: ignore[misc]

    return Case("acme", run, arun, named='UPSTASH_TENANTS["FIND"]')


def subscriber_case() -> Case:
    def run(callback: Any, route: str) -> int:
        subscriber = subscribe("news", alias=route, on_gap=callback)
        subscriber._report(Gap(dropped=1))
        return subscriber.gaps

    async def arun(callback: Any, route: str) -> int:
        subscriber = subscribe("news", alias=route, on_gap=callback)
        await subscriber._areport(Gap(dropped=1))
        return subscriber.gaps

    return Case(None, run, arun, named="on_gap", takes_anything=True)


def progress_case() -> Case:
    def cache(route: str) -> UpstashCache:
        SETTINGS.UPSTASH_TENANTS = {"ALIAS": route}
        return UpstashCache(route, {"KEY_PREFIX": "progress"})

    def run(callback: Any, route: str) -> int:
        cache(route).set_many({f"k{key}": key for key in range(5)})
        cache(route).warm({"a": 1, "b": 2}, chunk=1, progress=callback)
        cache(route).touch_many(["a", "b"], 60, progress=callback)
        Tenant("acme").erase(progress=callback)
        return cache(route).delete_pattern("k*", progress=callback)

    async def arun(callback: Any, route: str) -> int:
        cache(route).set_many({f"k{key}": key for key in range(5)})
        await cache(route).awarm({"a": 1, "b": 2}, chunk=1, progress=callback)
        await cache(route).atouch_many(["a", "b"], 60, progress=callback)
        await Tenant("acme").aerase(progress=callback)
        await cache(route).aclear(progress=callback)
        return 5

    return Case(None, run, arun, named="progress", takes_anything=True)


def default_case() -> Case:
    def run(callback: Any, route: str) -> Any:
        return UpstashCache(route, {}).get_or_set(f"k{next(number)}", callback, 60)

    async def arun(callback: Any, route: str) -> Any:
        return await UpstashCache(route, {}).aget_or_set(f"k{next(number)}", callback, 60)

    return Case({"a": 1}, run, arun, named="default", takes_anything=True)


def key_function_case() -> Case:
    def cache(callback: Any, route: str) -> UpstashCache:
        return UpstashCache(route, {"KEY_FUNCTION": callback})

    def run(callback: Any, route: str) -> Any:
        cache(callback, route).set("a", 1)
        return cache(callback, route).get("b")

    async def arun(callback: Any, route: str) -> Any:
        await cache(callback, route).aset("a", 1)
        return await cache(callback, route).aget("b")

    return Case("the_only_key", run, arun, named="KEY_FUNCTION")


def reverse_key_function_case() -> Case:
    def cache(callback: Any, route: str) -> UpstashCache:
        made = UpstashCache(route, {"REVERSE_KEY_FUNCTION": callback})
        made.set("a", 1)
        return made

    def run(callback: Any, route: str) -> Any:
        return list(cache(callback, route).iter_keys("a"))

    async def arun(callback: Any, route: str) -> Any:
        return [key async for key in cache(callback, route).aiter_keys("a")]

    return Case("its name", run, arun, named="REVERSE_KEY_FUNCTION")


def limiters_case() -> Case:
    limiter = RateLimiter(SlidingWindow("2/min", scope="of the admin"))

    def run(callback: Any, route: str) -> Any:
        FOUND.append(lambda request: callback())
        admin_limiters.load.cache_clear()
        return admin_limiters.load(f"{__name__}.limiters_of_the_test")

    return Case(limiter, run, named="LIMITERS")


def limiters_of_the_test() -> Any:
    return FOUND[-1](None)


def idempotent_case(name: str, value: Any, setting: str = "") -> Case:
    """A request is sent twice with one key: it is executed once, or refused."""

    def protected(callback: Any, route: str, view: Any) -> Any:
        FOUND.append(lambda request: callback(request))
        path = {setting: f"{__name__}.principal_of_the_test"} if setting else {}
        SETTINGS.UPSTASH_IDEMPOTENCY = {"ALIAS": route, **path}
        given = {} if setting else {name: callback}
        if name != "tenant":
            given["tenant"] = f"tenant {next(number)}"
        return idempotent(**given)(view)

    def sent(factory: Any, key: int) -> Any:
        return factory.post("/", headers={"idempotency-key": f'"{key}"'})

    def run(callback: Any, route: str) -> list[int]:
        executed: list[int] = []
        key = next(number)

        def counted(request: Any) -> HttpResponse:
            executed.append(1)
            return HttpResponse()

        view = protected(callback, route, counted)
        codes = [view(sent(RequestFactory(), key)).status_code for _ in range(2)]
        return [*codes, len(executed)]

    async def arun(callback: Any, route: str) -> list[int]:
        executed: list[int] = []
        key = next(number)

        async def counted(request: Any) -> HttpResponse:
            executed.append(1)
            return HttpResponse()

        view = protected(callback, route, counted)
        codes = [(await view(sent(AsyncRequestFactory(), key))).status_code for _ in range(2)]
        return [*codes, len(executed)]

    return Case(value, run, arun, named=name)


def principal_of_the_test(request: Any, user: Any) -> Any:
    return FOUND[-1](request)


CASES: dict[str, Case] = {
    "idempotent(principal=…)": idempotent_case("principal", "ann"),
    "idempotent(fingerprint=…)": idempotent_case("fingerprint", {"amount": 3}),
    "idempotent(tenant=…)": idempotent_case("tenant", "acme"),
    'UPSTASH_IDEMPOTENCY["PRINCIPAL"]': idempotent_case("principal", "ann", "PRINCIPAL"),
    "ratelimit(identity=…)": decorator_case("identity", "ann"),
    "ratelimit(identity=…), a mapping": decorator_case("identity", {"burst": 7}, SlidingWindow("2/min", scope="burst")),
    "ratelimit(cost=…)": decorator_case("cost", 2, "4/min"),
    "ratelimit(charge_when=…)": decorator_case("charge_when", False, "1/min"),
    "ratelimit(charge_first=True, charge_when=…)": decorator_case("charge_when", False, "1/min", charge_first=True),
    "ratelimit(refuse=…)": decorator_case("refuse", HttpResponse(status=418)),
    "ratelimit(tenant=…)": decorator_case("tenant", "acme"),
    'UPSTASH_RATELIMIT["IDENTITY"]': middleware_case(),
    "RateThrottle.get_cache_key()": throttle_case("get_cache_key", "ann"),
    "RateThrottle.get_policies()": throttle_case("get_policies", (SlidingWindow("1/min", scope="policies"),)),
    "RateThrottle.charge_when": throttle_case("charge_when", False),
    "TenantRateThrottle.get_tenant()": throttle_case("get_tenant", "acme"),
    "throttle_cost": throttle_cost(),
    "CircuitBreaker(fallback=…)": Case(
        7,
        lambda callback, route: breaker(callback, route).call(fails),
        lambda callback, route: breaker(callback, route).acall(afails),
        named="fallback",
        takes_anything=True,
    ),
    "readiness(details=…)": Case(True, readiness, areadiness, named="details"),
    'UPSTASH_TENANTS["FIND"]': tenant_case(),
    "subscribe(on_gap=…)": subscriber_case(),
    "progress": progress_case(),
    "get_or_set(default)": default_case(),
    "KEY_FUNCTION": key_function_case(),
    "REVERSE_KEY_FUNCTION": reverse_key_function_case(),
    'UPSTASH_ADMIN["LIMITERS"]': limiters_case(),
}
