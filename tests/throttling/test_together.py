"""All throttles of a request are decided together: all or nothing, in one round trip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import MagicMock

import pytest
from django.http import StreamingHttpResponse
from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle

from django_upstash.ratelimit import Concurrency, RateLimiter, SlidingWindow
from django_upstash.throttling import AnonRateThrottle, PolicyThrottle, RateThrottle, UserRateThrottle
from tests.throttling.conftest import serve, user

pytestmark = [pytest.mark.matrix, pytest.mark.usefixtures("on_route")]
Counting = Callable[[], Any]


class Burst(UserRateThrottle):
    scope = "burst"
    rate = "2/min"


class Sustained(UserRateThrottle):
    scope = "sustained"
    rate = "5/day"


class Monthly(UserRateThrottle):
    scope = "monthly"
    rate = "90/30d"


class Holding(PolicyThrottle):
    policies = (Concurrency(1, scope="at once"),)


class Failing(AnonRateThrottle):
    scope = "failing"
    rate = "2/h"
    charge_when = lambda response: response.status_code == 403  # noqa: E731


def used(route: str, scope: str, rate: str, identity: str = "203.0.113.7") -> int:
    decision = RateLimiter(SlidingWindow(rate, scope=scope), alias=route).peek(identity)
    return decision.limit - decision.remaining


def test_refusal__charges_none_of_ours(route: str) -> None:
    assert [serve(Burst, Sustained).status_code for _ in range(9)] == [200, 200, *[429] * 7]
    assert used(route, "sustained/86400s", "5/day") == 2
    assert used(route, "burst/60s", "2/min") == 2


@pytest.mark.parametrize("order", [(Burst, Sustained), (Sustained, Burst)])
def test_refusal__whichever_is_asked_first(order: tuple[type, ...], route: str) -> None:
    for _ in range(4):
        refused: Any = serve(*order)
    assert refused.status_code == 429
    # What the other has left says nothing of the wait.
    assert int(refused.headers["Retry-After"]) <= 62
    assert used(route, "sustained/86400s", "5/day") == 2


def test_refusal__of_anothers_throttle_charges_ours(route: str) -> None:
    class Never(BaseThrottle):  # type: ignore[misc]
        def allow_request(self, request: Any, view: Any) -> bool:
            return False

    assert serve(Burst, Never).status_code == 429
    assert used(route, "burst/60s", "2/min") == 1  # as Django REST framework's would have been


def test_one_round_trip__for_all(counting: Counting) -> None:
    class Unnoticed(UserRateThrottle):
        def get_rate(self) -> str | None:
            return None

    with counting() as cost:
        assert serve(Burst, Sustained, Monthly, Unnoticed, user=user(1)).status_code == 200
    assert cost == [1, 3]
    with counting() as cost:
        assert serve(Burst, user=user(2)).status_code == 200
    assert cost == [1, 3]


def test_refusal__that_is_known_costs_nothing(counting: Counting) -> None:
    for _ in range(3):
        serve(Burst, Sustained, user=user(1))
    with counting() as cost:
        refused = serve(Burst, Sustained, user=user(1))
    assert (refused.status_code, cost) == (429, [0, 0])
    assert '"burst/60s";r=0;t=' in refused.headers["RateLimit"]


def test_overridden_allow_request__is_decided_with_the_others(counting: Counting, route: str) -> None:
    class Planned(UserRateThrottle):
        scope = "planned"
        rate = "9/h"

        def allow_request(self, request: Any, view: Any) -> bool:
            self.num_requests, self.duration = self.parse_rate("8/h")
            return super().allow_request(request, view)

    with counting() as cost:
        serve(Burst, Planned, user=user(1))
    assert cost == [1, 3]
    for _ in range(3):
        serve(Burst, Planned, user=user(1))
    assert used(route, "planned/3600s", "8/h", "user:1") == 2


@pytest.mark.parametrize("others", [(), (Burst,), (Burst, Sustained)])
def test_overridden_allow_request__is_not_entered_again_by_what_it_calls(others: tuple[type, ...]) -> None:
    entered: list[bool] = []

    class Planned(UserRateThrottle):
        scope = "planned"
        rate = "9/h"

        def allow_request(self, request: Any, view: Any) -> bool:
            entered.append(True)
            return super().allow_request(request, view)

    assert serve(Planned, *others, user=user(1)).status_code == 200
    assert entered == [True]


def test_overridden_allow_request__that_comes_to_another_claim_each_time(route: str) -> None:
    rates = iter(["7/h", "8/h", "9/h"])

    class Changing(UserRateThrottle):
        scope = "changing"
        rate = "9/h"

        def allow_request(self, request: Any, view: Any) -> bool:
            self.num_requests, self.duration = self.parse_rate(next(rates))
            return super().allow_request(request, view)

    assert serve(Burst, Changing, user=user(1)).status_code == 200
    assert used(route, "burst/60s", "2/min", "user:1") == 1  # decided once, whatever the other has said before


def test_cost__is_the_views(route: str) -> None:
    assert serve(Sustained, throttle_cost=3).status_code == 200
    assert used(route, "sustained/86400s", "5/day") == 3
    assert serve(Sustained, throttle_cost=3).status_code == 429
    assert serve(Sustained, throttle_cost=staticmethod(lambda request: 2)).status_code == 200
    assert used(route, "sustained/86400s", "5/day") == 5


def test_cost__of_less_than_nothing_is_one(route: str) -> None:
    serve(Sustained, throttle_cost=staticmethod(lambda request: -100))
    assert used(route, "sustained/86400s", "5/day") == 1
    refused = serve(Sustained, throttle_cost=10**30)
    assert (refused.status_code, "Retry-After" in refused.headers) == (429, False)


def test_same_counter__is_charged_once_by_the_lower_limit(route: str) -> None:
    stricter = type("Stricter", (Burst,), {"rate": "1/min"})
    assert [serve(Burst, stricter, Burst).status_code for _ in range(2)] == [200, 429]
    assert used(route, "burst/60s", "2/min") == 1


def test_same_scope__for_another_identity_counts_by_itself() -> None:
    class Everybody(Burst):
        rate = "3/min"

        def get_cache_key(self, request: Any, view: Any) -> str:
            return "everybody"

    found = [serve(Burst, Everybody, user=user(pk)).status_code for pk in (1, 2, 3, 4)]
    assert found == [200, 200, 200, 429]


def test_same_scope__for_another_identity_is_one_counter_in_all_views() -> None:
    class Everybody(Burst):
        rate = "3/min"

        def get_cache_key(self, request: Any, view: Any) -> str:
            return "everybody"

    assert [serve(Burst, Everybody, user=user(pk)).status_code for pk in (1, 2)] == [200, 200]
    assert [serve(Everybody).status_code for _ in range(2)] == [200, 429]
    assert serve(Burst, Everybody, user=user(3)).status_code == 429
    assert serve(Burst, user=user(3)).headers["RateLimit"].startswith('"burst/60s";r=1;')  # that charged nothing


def test_two_servers__refusal_of_one_is_no_charge_of_the_other(upstash: dict[str, Any]) -> None:
    native = type("Native", (Burst,), {"alias": "native", "rate": "5/min"})
    embedded = type("Embedded", (Burst,), {"alias": "embedded", "rate": "1/min"})
    assert [serve(native, embedded).status_code for _ in range(3)] == [200, 429, 429]
    assert used("native", "burst/60s", "5/min") == 1


def test_race__admits_the_limit() -> None:
    class Hundred(UserRateThrottle):
        scope = "hundred"
        rate = "100/h"

    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(lambda _: serve(Hundred, Monthly).status_code, range(200)))
    assert found.count(200) == 90  # of Monthly


def test_charge_when__charges_failures_alone(route: str) -> None:
    def refuse(self: Any, request: Any) -> Any:
        raise PermissionDenied

    assert [serve(Failing).status_code for _ in range(5)] == [200] * 5
    assert used(route, "failing/3600s", "2/h") == 0
    assert [serve(Failing, get=refuse).status_code for _ in range(4)] == [403, 403, 429, 429]
    assert serve(Failing).status_code == 429


def test_charge_first__is_exact_for_a_burst_of_guesses(route: str) -> None:
    def refuse(self: Any, request: Any) -> Any:
        raise PermissionDenied

    exact = type("Exact", (Failing,), {"charge_first": True, "rate": "5/h"})
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: serve(exact, Burst, get=refuse, user=None).status_code, range(16)))
    assert found.count(403) == 2  # of Burst
    assert used(route, "failing/3600s", "5/h") == 2
    assert serve(exact, address="203.0.113.8").status_code == 200
    assert used(route, "failing/3600s", "5/h", "203.0.113.8") == 0


def test_charge_when__of_an_error_that_nobody_handles(route: str) -> None:
    def fail(self: Any, request: Any) -> Any:
        raise ArithmeticError

    throttle = type("Mine", (Failing,), {"charge_when": lambda response: response.status_code == 500})
    with pytest.raises(ArithmeticError):
        serve(throttle, get=fail)
    assert used(route, "failing/3600s", "2/h") == 1


def test_charge_when__is_told_after_the_charge() -> None:
    def refuse(self: Any, request: Any) -> Any:
        raise PermissionDenied

    assert serve(Failing).headers["RateLimit"].startswith('"failing/3600s";r=2;')
    assert serve(Failing, get=refuse).headers["RateLimit"].startswith('"failing/3600s";r=1;')


def test_charge_when__beside_one_that_charges_at_once(route: str, counting: Counting) -> None:
    with counting() as cost:
        assert serve(Failing, Burst).status_code == 200
    assert cost == [2, 4]  # to look, and to charge the other
    for _ in range(2):
        serve(Failing, Burst, get=lambda *_: Response(status=403))
    assert used(route, "burst/60s", "2/min") == 2
    assert used(route, "failing/3600s", "2/h") == 1  # the last was refused by the other


@pytest.mark.parametrize("order", [(Failing, Sustained), (Sustained, Failing)])
def test_charge_when__that_refuses_keeps_the_others_from_being_asked(
    order: tuple[type, ...], counting: Counting
) -> None:
    for _ in range(3):
        serve(Failing, get=lambda *_: Response(status=403), user=None)
    with counting() as cost:
        assert serve(*order).status_code == 429
    assert cost == [0, 0]


@pytest.mark.usefixtures("request_end")
@pytest.mark.parametrize("kind", ["answer", "error", "stream", "refusal"])
def test_place__is_given_back_with_the_response(kind: str, route: str) -> None:
    limiter = RateLimiter(Concurrency(1, scope="at once"), alias=route)
    held: list[int] = []

    def get(self: Any, request: Any) -> Any:
        held.append(limiter.peek("203.0.113.7").remaining)
        if kind == "error":
            raise ArithmeticError
        if kind == "refusal":
            raise PermissionDenied
        return StreamingHttpResponse(stream()) if kind == "stream" else Response({})

    def stream() -> Iterator[bytes]:
        held.append(limiter.peek("203.0.113.7").remaining)
        yield b"part"

    if kind == "error":
        with pytest.raises(ArithmeticError):
            serve(Holding, get=get)
    else:
        response: Any = serve(Holding, get=get)
        if kind == "stream":
            assert list(response) == [b"part"]
        response.close()
    assert set(held) == {0}
    assert limiter.peek("203.0.113.7").remaining == 1


@pytest.mark.parametrize("view", [None, object(), MagicMock()])
def test_views__that_only_look_like_one(view: Any) -> None:
    throttle = type("Alone", (RateThrottle,), {"rate": "1/h", "get_cache_key": lambda *_: "alone"})()
    request = type("Request", (), {})()
    assert [throttle.allow_request(request, view) for _ in range(2)] == [True, False]
