"""The decorator: views that wait and views that are awaited, functions, methods and classes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseForbidden, StreamingHttpResponse
from django.template.response import SimpleTemplateResponse
from django.test import AsyncRequestFactory

from django_upstash.ratelimit import Concurrency, RateLimiter, SlidingWindow, TokenBucket
from django_upstash.ratelimit.web import decisions_about, ratelimit
from tests.servers import Server
from tests.throttling.conftest import ADDRESS, user

pytestmark = [pytest.mark.matrix, pytest.mark.usefixtures("upstash")]
AT_ONCE = Concurrency(1, scope="at once")


def places(route: str, identity: str = ADDRESS) -> int:
    return RateLimiter(AT_ONCE, alias=route).peek(identity).remaining


def test_decorator__limits_and_tells(limit: Any, visit: Any, made: Any) -> None:
    view = limit("2/h", scope="page")(made())
    found = [visit(view) for _ in range(3)]
    assert [response.status_code for response in found] == [200, 200, 429]
    assert [response.headers["RateLimit-Policy"] for response in found] == ['"page";q=2;w=3600'] * 3
    assert found[0].headers["RateLimit"].startswith('"page";r=1;t=')
    problem = json.loads(found[2].content)
    assert (problem["violated-policies"], problem["status"]) == (["page"], 429)
    assert int(found[2].headers["Retry-After"]) > 3500


def test_decorator__counts_users_and_addresses(limit: Any, visit: Any, made: Any) -> None:
    view = limit("1/h")(made())
    assert [visit(view).status_code for _ in range(2)] == [200, 429]
    assert [visit(view, user=user(1)).status_code for _ in range(2)] == [200, 429]
    assert visit(view, REMOTE_ADDR="203.0.113.8").status_code == 200
    by_address = limit("1/h", scope="by address", identity="address")(made())
    assert [visit(by_address, user=user(pk)).status_code for pk in (1, 2)] == [200, 429]


def of_key(request: HttpRequest) -> Any:
    return request.META.get("HTTP_X_KEY")


async def aof_key(request: HttpRequest) -> Any:
    return request.META.get("HTTP_X_KEY")


@pytest.mark.parametrize("identity", [of_key, aof_key, f"{__name__}.of_key"])
def test_identity__is_what_a_function_says(identity: Any, limit: Any, visit: Any, made: Any) -> None:
    view = limit("1/h", identity=identity)(made())
    assert [visit(view, HTTP_X_KEY="a").status_code for _ in range(2)] == [200, 429]
    assert visit(view, HTTP_X_KEY=7).status_code == 200
    assert [visit(view).status_code for _ in range(3)] == [200, 200, 200]


def test_identity__of_each_scope(limit: Any, visit: Any, made: Any) -> None:
    policies = (SlidingWindow("1/h", scope="account"), SlidingWindow("2/h", scope="address"))

    def identity(request: HttpRequest) -> dict[str, str]:
        return {"account": of_key(request), "address": ADDRESS}

    view = limit(*policies, identity=identity)(made())
    assert [visit(view, HTTP_X_KEY=key).status_code for key in "aabc"] == [200, 429, 200, 429]


@pytest.mark.parametrize("identity", ["x" * 10_000, "\ud800\x00\r\n", "Ünï 漢字", ""])
def test_identity__of_any_text_is_limited(identity: str, limit: Any, visit: Any, made: Any) -> None:
    view = limit("1/h", identity=lambda request: identity)(made())
    assert [visit(view).status_code for _ in range(2)] == [200, 429]


def test_methods__of_others_pass(limit: Any, visit: Any, made: Any) -> None:
    view = limit("1/h", methods=["post"])(made())
    assert [visit(view).status_code for _ in range(3)] == [200, 200, 200]
    assert [visit(view, method="POST").status_code for _ in range(2)] == [200, 429]


def test_cost__of_a_request(limit: Any, visit: Any, made: Any) -> None:
    view = limit("10/h", cost=lambda request: request.META.get("COST", 1))(made())
    assert [visit(view, COST=cost).status_code for cost in (8, 3, -5, 1, 1)] == [200, 429, 200, 200, 429]
    assert visit(limit("10/h", cost=11)(made())).status_code == 429


def test_refuse__makes_the_response(limit: Any, visit: Any, made: Any) -> None:
    def refuse(request: HttpRequest, decision: Any) -> HttpResponse:
        return HttpResponse(f"no {decision.violated[0].scope}", status=503)

    async def arefuse(request: HttpRequest, decision: Any) -> HttpResponse:
        return refuse(request, decision)

    for function in (refuse, arefuse):
        view = limit("0/h", scope="closed", refuse=function)(made())
        refused = visit(view)
        assert (refused.status_code, refused.content) == (503, b"no closed")
        assert "RateLimit" in refused.headers


def test_tenant__has_its_own_counters(limit: Any, visit: Any, made: Any) -> None:
    view = limit("1/h", tenant=lambda request: request.META["HTTP_HOST"])(made())
    assert [visit(view, HTTP_HOST=host).status_code for host in "aba"] == [200, 200, 429]


def test_shadow__counts_and_lets_pass(limit: Any, visit: Any, made: Any) -> None:
    view = limit("1/h", shadow=True)(made())
    assert [visit(view).status_code for _ in range(3)] == [200, 200, 200]


def test_charge_when__charges_failed_logins(limit: Any, visit: Any, made: Any, route: str) -> None:
    policy = SlidingWindow("2/h", scope="login")
    limited = limit(policy, charge_when=lambda response: response.status_code == 403)
    right, wrong = limited(made()), limited(made(lambda request: HttpResponseForbidden()))
    assert [visit(right).status_code for _ in range(4)] == [200] * 4
    assert [visit(wrong).status_code for _ in range(3)] == [403, 403, 429]
    assert visit(right).status_code == 429
    assert RateLimiter(policy, alias=route).peek(ADDRESS).remaining == 0


def test_charge_first__gives_back_what_is_not_to_be_paid(limit: Any, visit: Any, made: Any, route: str) -> None:
    policy = SlidingWindow("2/h", scope="login")
    left: list[int] = []

    def answer(request: HttpRequest) -> HttpResponse:
        left.append(RateLimiter(policy, alias=route).peek(ADDRESS).remaining)
        if "WRONG" in request.META:
            raise PermissionDenied
        return HttpResponse()

    limited = limit(policy, charge_when=lambda response: response.status_code == 403, charge_first=True)(made(answer))
    assert [visit(limited).status_code for _ in range(4)] == [200] * 4
    for _ in range(2):
        with pytest.raises(PermissionDenied):
            visit(limited, WRONG="yes")
    assert visit(limited).status_code == 429
    assert left == [1, 1, 1, 1, 1, 0]


@pytest.mark.parametrize(
    ("error", "status"), [(PermissionDenied, 403), (Http404, 404), (SuspiciousOperation, 400), (ArithmeticError, 500)]
)
def test_charge_when__of_what_a_view_raises(
    error: type[Exception], status: int, limit: Any, visit: Any, made: Any
) -> None:
    def fail(request: HttpRequest) -> HttpResponse:
        raise error

    view = limit("1/h", charge_when=lambda response: response.status_code == status)(made(fail))
    with pytest.raises(error):
        visit(view)
    assert visit(view).status_code == 429


def test_view__that_returns_no_response_is_left_to_django(limit: Any, visit: Any, made: Any) -> None:
    assert visit(limit("1/h")(made(lambda request: None))) is None


@pytest.mark.usefixtures("request_end")
@pytest.mark.parametrize("kind", ["answer", "error", "stream", "template", "broken template"])
def test_place__is_given_back_when_the_response_is_finished(
    kind: str, limit: Any, visit: Any, made: Any, driver: str, route: str, runner: asyncio.Runner
) -> None:
    held: list[int] = []

    def look() -> None:
        held.append(places(route))

    def answer(request: HttpRequest) -> Any:
        look()
        if kind == "error":
            raise ArithmeticError
        if kind == "stream":
            return StreamingHttpResponse(stream() if driver == "sync" else astream())
        return Rendered("page.html") if "template" in kind else HttpResponse()

    def stream() -> Iterator[bytes]:
        look()
        yield b"part"

    async def astream() -> AsyncIterator[bytes]:
        look()
        yield b"part"

    class Rendered(SimpleTemplateResponse):
        @property
        def rendered_content(self) -> str:
            look()
            if kind == "broken template":
                raise ArithmeticError
            return ""

    view = limit(AT_ONCE)(made(answer))
    if kind == "error":
        with pytest.raises(ArithmeticError):
            visit(view)
    else:
        response: Any = visit(view)
        if kind == "template":
            response.render()
        elif kind == "broken template":
            with pytest.raises(ArithmeticError):
                response.render()
        elif kind == "stream" and driver == "sync":
            assert list(response) == [b"part"]
        elif kind == "stream":
            assert runner.run(anext(aiter(response))) == b"part"
        response.close()
    assert set(held) == {0}
    assert places(route) == 1


def test_server__that_goes_away_meanwhile_is_logged(
    limit: Any, visit: Any, made: Any, route: str, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(request: HttpRequest) -> HttpResponse:
        settings.UPSTASH = {route: {"URL": "redis://127.0.0.1:1"}}
        return HttpResponse("fine")

    view = limit("5/h", AT_ONCE, scope="page", charge_when=lambda response: False, charge_first=True)(made(answer))
    assert visit(view).content == b"fine"
    said = [record.getMessage() for record in caplog.records if record.name == "django_upstash.ratelimit"]
    assert len(said) == 2
    assert said[0].startswith("What <RateLimiter default: page, at once> has charged cannot be given back:")
    assert said[1].startswith("A place under <RateLimiter default: page, at once> is kept until its lease ends:")


def test_place__of_a_task_that_is_cancelled(limit: Any, route: str, runner: asyncio.Runner, valkey: Server) -> None:
    async def scenario() -> None:
        entered = asyncio.Event()

        async def waiting(request: HttpRequest) -> HttpResponse:
            entered.set()
            await asyncio.Event().wait()
            return HttpResponse()

        view = limit(AT_ONCE, identity="address")(waiting)

        request = AsyncRequestFactory().get("/")
        request.META["REMOTE_ADDR"] = ADDRESS
        task = asyncio.ensure_future(view(request))
        await entered.wait()
        assert (await RateLimiter(AT_ONCE, alias=route).apeek(ADDRESS)).remaining == 0
        valkey.call("SCRIPT", "FLUSH")  # so that giving back takes two round trips
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        limiter = RateLimiter(AT_ONCE, alias=route)
        while not (await limiter.apeek(ADDRESS)).remaining:
            await asyncio.sleep(0.01)

    runner.run(asyncio.wait_for(scenario(), 20))


@pytest.mark.parametrize("terms", [{}, {"charge_when": lambda response: False, "charge_first": True}])
def test_charge__of_a_client_that_goes_away_is_kept(
    terms: dict[str, Any], limit: Any, route: str, runner: asyncio.Runner
) -> None:
    async def scenario() -> None:
        async def waiting(request: HttpRequest) -> HttpResponse:
            entered.set()
            await asyncio.Event().wait()
            return HttpResponse()

        view = limit("2/h", scope="page", identity="address", **terms)(waiting)
        request = AsyncRequestFactory().get("/")
        request.META["REMOTE_ADDR"] = ADDRESS
        for _ in range(2):
            entered = asyncio.Event()
            task = asyncio.ensure_future(view(request))
            await entered.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert (await view(request)).status_code == 429

    runner.run(asyncio.wait_for(scenario(), 20))


def test_decorators__tell_of_each_other(limit: Any, visit: Any, made: Any) -> None:
    view = limit("5/h", scope="outer")(limit("0/h", scope="inner")(made()))
    refused = visit(view)
    assert refused.status_code == 429
    assert refused.headers["RateLimit-Policy"] == '"outer";q=5;w=3600, "inner";q=0;w=3600'


def test_policies__several_in_one_round_trip(limit: Any, visit: Any, made: Any, counting: Any) -> None:
    view = limit("60/min", "1000/day", TokenBucket("10/s", scope="burst"), scope="page")(made())
    visit(view)
    with counting() as cost:
        found = visit(view)
    assert cost == [1, 3]
    assert [item.partition(";")[0] for item in found.headers["RateLimit-Policy"].split(", ")] == [
        '"page/60s"',
        '"page/86400s"',
        '"burst"',
    ]


@pytest.mark.parametrize(
    ("policies", "terms", "sentence"),
    [
        ((), {}, "needs a policy"),
        (("many",), {}, "The rate 'many' cannot be read"),
        (("10/month",), {}, "whose length is not fixed"),
        (("1/s",), {"cost": -1}, "The cost -1 is negative"),
        (("1/s",), {"on_failure": "ajar"}, 'must be "open", "closed" or "local"'),
        ((SlidingWindow("1/s", scope="a"), SlidingWindow("2/s", scope="a")), {}, "each with a unique scope"),
        (("1/s",), {"tenant": ""}, "A tenant or a scope"),
    ],
)
def test_mistakes__are_found_where_they_stand(policies: Any, terms: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ratelimit(*policies, **terms)


def test_view__can_look_at_its_decision(limit: Any, visit: Any, made: Any) -> None:
    view = limit("5/h")(made(lambda request: HttpResponse(str(decisions_about(request)[-1].remaining))))
    assert visit(view).content == b"4"


def test_view__keeps_its_name_and_attributes(limit: Any, made: Any) -> None:
    view = made()
    view.csrf_exempt = True
    limited = limit("1/h")(view)
    assert (limited.__name__, limited.csrf_exempt) == (view.__name__, True)
