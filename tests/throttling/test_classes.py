"""Throttles in the place of Django REST framework's: what its documentation says of them holds of ours."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import RequestFactory
from rest_framework.decorators import api_view, throttle_classes
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle, SimpleRateThrottle
from rest_framework.viewsets import ViewSet

from django_upstash.ratelimit import Concurrency, FixedWindow, RateLimiter, SlidingWindow, TokenBucket
from django_upstash.throttling import (
    AnonRateThrottle,
    PolicyThrottle,
    RateThrottle,
    ScopedRateThrottle,
    TenantRateThrottle,
    UserRateThrottle,
)
from tests.throttling.conftest import serve, user

pytestmark = [pytest.mark.matrix, pytest.mark.usefixtures("on_route")]
Rates = Callable[..., None]


class Three(UserRateThrottle):
    rate = "3/h"
    scope = "three"


def statuses(number: int, *throttles: type, **given: Any) -> list[int]:
    return [serve(*throttles, **given).status_code for _ in range(number)]


def test_throttle__passes_up_to_its_rate() -> None:
    assert statuses(5, Three) == [200, 200, 200, 429, 429]


def test_throttle__counts_each_user_and_each_address() -> None:
    assert statuses(4, Three, user=user(1))[-1] == 429
    assert serve(Three, user=user(2)).status_code == 200
    assert statuses(4, Three)[-1] == 429
    assert serve(Three, address="203.0.113.8").status_code == 200


def test_refusal__says_when_in_rest_frameworks_words() -> None:
    statuses(3, Three)
    refused: Any = serve(Three)
    seconds = int(refused.headers["Retry-After"])
    assert 3500 < seconds <= 3672  # a part of the window leaves as a whole
    assert str(refused.data["detail"]) == f"Request was throttled. Expected available in {seconds} seconds."


def test_wait__is_the_time_of_the_throttles_own_refusal() -> None:
    throttle, request = Three(), RequestFactory().get("/")
    request.user = None  # type: ignore[assignment]
    assert [throttle.allow_request(request, None) for _ in range(4)] == [True, True, True, False]
    wait = throttle.wait()
    assert wait is not None
    assert 3500 < wait <= 3672


def test_anon__lets_users_pass(rates: Rates) -> None:
    rates(anon="1/h")
    assert statuses(2, AnonRateThrottle) == [200, 429]
    assert statuses(3, AnonRateThrottle, user=user(1)) == [200, 200, 200]


def test_rates__are_those_of_the_settings_at_the_time(rates: Rates) -> None:
    rates(user="1/h")
    assert statuses(2, UserRateThrottle) == [200, 429]
    rates(user="3/h")
    assert serve(UserRateThrottle, address="203.0.113.9").headers["RateLimit-Policy"] == '"user";q=3;w=3600'


def test_rate__of_none_is_no_limit(rates: Rates) -> None:
    rates(user=None)
    assert statuses(3, UserRateThrottle) == [200, 200, 200]


def test_rate__of_zero_refuses_and_says_nothing_of_waiting(rates: Rates) -> None:
    rates(user="0/min")
    refused = serve(UserRateThrottle)
    assert (refused.status_code, "Retry-After" in refused.headers) == (429, False)


def test_rate__passes_again_when_the_wait_is_over() -> None:
    class Quick(UserRateThrottle):
        rate = "50/s"
        policy_class = TokenBucket

    throttle, request = Quick(), RequestFactory().get("/")
    request.user = None  # type: ignore[assignment]
    while throttle.allow_request(request, None):
        pass
    wait = throttle.wait()
    assert wait is not None
    time.sleep(wait)
    assert throttle.allow_request(request, None)


def test_rate__that_is_lowered_refuses_at_once(rates: Rates) -> None:
    rates(user="24/h")
    assert statuses(3, UserRateThrottle) == [200, 200, 200]
    rates(user="1/h")
    refused = serve(UserRateThrottle)
    assert (refused.status_code, int(refused.headers["Retry-After"]) > 3500) == (429, True)
    rates(user="24/h")
    assert serve(UserRateThrottle).status_code == 200


def test_get_cache_key__is_left_to_subclasses() -> None:
    throttle = type("Mine", (RateThrottle,), {"rate": "1/h"})()
    with pytest.raises(NotImplementedError, match="get_cache_key"):
        throttle.allow_request(RequestFactory().get("/"), None)


def test_function_views_and_view_sets__are_throttled() -> None:
    class Things(ViewSet):  # type: ignore[misc]
        throttle_classes = (Three,)

        def list(self, request: Any) -> Response:
            return Response([])

    function = api_view(["GET"])(throttle_classes([Three])(lambda request: Response()))
    request = RequestFactory().get("/")
    found = [view(request).status_code for view in (function, Things.as_view({"get": "list"})) for _ in range(2)]
    assert found == [200, 200, 200, 429]


def test_scope__that_has_no_rate(rates: Rates) -> None:
    rates(anon="1/h")
    with pytest.raises(ImproperlyConfigured, match="No default throttle rate set for 'user' scope"):
        serve(UserRateThrottle)
    with pytest.raises(ImproperlyConfigured, match="You must set either"):
        RateThrottle()


@pytest.mark.parametrize("rate", ["", "many", "10/month", "-1/s", "1.5/s", "10/0s", "10", "10/s/s", "1e3/day", 10])
def test_rate__of_the_settings_that_cannot_be_read(rates: Rates, rate: Any) -> None:
    rates(user=rate)
    with pytest.raises(ImproperlyConfigured, match=r"^UserRateThrottle: The (rate|limit) "):
        serve(UserRateThrottle)


@pytest.mark.parametrize("rate", ["many", "10/month"])
def test_rate__of_a_class_that_cannot_be_read(rate: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^Mine: The rate"):
        type("Mine", (UserRateThrottle,), {"rate": rate})


@pytest.mark.parametrize(("rate", "seconds"), [("10/5m", 300), ("10/2days", 172800), ("10/day", 86400), ("10/s", 1)])
def test_parse_rate__of_rest_framework_and_more(rate: str, seconds: int) -> None:
    assert Three().parse_rate(rate) == (10, seconds)
    assert Three().parse_rate(None) == (None, None)


def test_parse_rate__can_be_overridden() -> None:
    class Half(UserRateThrottle):
        rate = "2 in 90"

        def parse_rate(self, rate: str | None) -> tuple[int | None, int | None]:
            number, _, seconds = str(rate).split()
            return int(number), int(seconds)

    assert statuses(3, Half) == [200, 200, 429]
    assert serve(Half, address="203.0.113.9").headers["RateLimit-Policy"] == '"user/90s";q=2;w=90'


def test_get_cache_key__can_be_overridden() -> None:
    class ByKey(RateThrottle):
        rate = "1/h"
        scope = "key"

        def get_cache_key(self, request: Any, view: Any) -> Any:
            key = request.headers.get("X-Key")
            return key and self.cache_format % {"scope": self.scope, "ident": key}

    assert statuses(2, ByKey, HTTP_X_KEY="a") == [200, 429]
    assert statuses(2, ByKey, HTTP_X_KEY="b") == [200, 429]
    assert statuses(2, ByKey) == [200, 200]  # None is who is not throttled


@pytest.mark.parametrize("key", ["x" * 10_000, "\ud800 \x00\r\n", "ratelimit:*", "Ünï 漢字 🎉", 42, "", b"\xff"])
def test_get_cache_key__of_whatever_kind_is_limited(key: Any) -> None:
    throttle = type("Odd", (RateThrottle,), {"rate": "1/h", "get_cache_key": lambda *_: key})
    assert statuses(2, throttle) == [200, 429]


def test_allow_request__can_be_overridden() -> None:
    asked: list[bool] = []

    class Planned(UserRateThrottle):
        scope = "planned"
        rate = "9/h"

        def allow_request(self, request: Any, view: Any) -> bool:
            if request.user and request.user.pk == 1:
                return True
            self.num_requests, self.duration = self.parse_rate("1/h")
            allowed = super().allow_request(request, view)
            if not allowed:
                asked.append(True)
            return allowed

    assert statuses(3, Planned, user=user(1)) == [200, 200, 200]
    assert statuses(3, Planned) == [200, 429, 429]
    assert len(asked) == 2


def test_throttle_failure__is_called_once_for_a_refusal() -> None:
    called: list[str] = []

    class Telling(UserRateThrottle):
        rate = "1/h"

        def throttle_failure(self) -> bool:
            called.append("failure")
            return super().throttle_failure()

        def throttle_success(self) -> bool:
            called.append("success")
            return super().throttle_success()

    assert statuses(2, Telling, Three) == [200, 429]
    assert called == ["success", "failure"]


@pytest.mark.parametrize("name", ["timer", "cache", "history", "cache_format"])
def test_override__that_would_have_no_effect(name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=rf"^Mine\.{name} would have no effect: .* Leave it out\.$"):
        type("Mine", (AnonRateThrottle,), {name: lambda: 0})
    mixin = type("Mixin", (), {name: lambda: 0})
    with pytest.raises(ImproperlyConfigured, match="would have no effect"):
        type("Mine", (mixin, AnonRateThrottle), {})


def test_scoped__counts_by_the_views_scope(rates: Rates) -> None:
    rates(uploads="1/h", contacts="2/h")
    assert statuses(2, ScopedRateThrottle, throttle_scope="uploads") == [200, 429]
    assert statuses(3, ScopedRateThrottle, throttle_scope="contacts") == [200, 200, 429]
    assert statuses(4, ScopedRateThrottle) == [200] * 4
    with pytest.raises(ImproperlyConfigured, match="'unknown' scope"):
        serve(ScopedRateThrottle, throttle_scope="unknown")


def test_scoped__whose_scope_is_anothers(rates: Rates) -> None:
    rates(user="2/h")
    assert statuses(3, UserRateThrottle, ScopedRateThrottle, throttle_scope="user") == [200, 200, 429]


def test_tenant__limits_its_users_together() -> None:
    class PerTenant(TenantRateThrottle):
        rate = "2/h"

        def get_tenant(self, request: Any, view: Any) -> str | None:
            return request.headers.get("X-Tenant")  # type: ignore[no-any-return]

    given = {"HTTP_X_TENANT": "acme"}
    assert [serve(PerTenant, user=user(pk), **given).status_code for pk in (1, 2, 3)] == [200, 200, 429]
    assert serve(PerTenant, user=user(1), HTTP_X_TENANT="other").status_code == 200
    assert statuses(3, PerTenant) == [200, 200, 200]


def test_policies__are_all_obeyed(route: str) -> None:
    class Exports(PolicyThrottle):
        scope = "exports"
        policies = ("3/min", TokenBucket("1/h", burst=2), Concurrency(1, scope="exports at once"))

    assert statuses(3, Exports, user=user(1)) == [200, 200, 429]
    response = serve(Exports, user=user(2))
    rates = '"exports/60s";q=3;w=60, "exports/7200s/bucket";q=2;w=7200'
    assert response.headers["RateLimit-Policy"] == f'{rates}, "exports at once";q=1;qu="concurrent-requests"'
    held = RateLimiter(Concurrency(1, scope="exports at once"), alias=route)
    assert held.peek("user:2").remaining == 1


def test_policies__without_a_scope_do_not_share_a_counter_of_rates(rates: Rates) -> None:
    rates(user="2/h")
    bucket = type("Bucket", (PolicyThrottle,), {"policies": [TokenBucket("100/s")]})
    found = [serve(throttle).status_code for _ in range(4) for throttle in (UserRateThrottle, bucket)]
    assert found[::2] == [200, 200, 429, 429]


def test_on_failure__of_a_throttle(settings: Any) -> None:
    settings.UPSTASH = {"away": {"URL": "redis://127.0.0.1:1"}}
    for base, given in ((Three, {}), (PolicyThrottle, {"policies": ["3/h"]})):
        for failure, status in (("closed", 429), ("open", 200), (None, 200)):
            throttle = type("Mine", (base,), {**given, "alias": "away", "on_failure": failure})
            assert serve(throttle).status_code == status
    with pytest.raises(ImproperlyConfigured, match=r"^Mine\.on_failure is 'ajar'"):
        type("Mine", (Three,), {"on_failure": "ajar"})


def test_policies__that_are_wrong_or_missing() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^Mine\.policies: The rate 'many'"):
        type("Mine", (PolicyThrottle,), {"policies": ["many"]})
    with pytest.raises(ImproperlyConfigured, match="Mine needs policies"):
        type("Mine", (PolicyThrottle,), {})()


@pytest.mark.parametrize(("kind", "algorithm"), [(TokenBucket, "bucket"), (FixedWindow, "window")])
def test_policy_class__is_how_a_rate_is_counted(kind: Any, algorithm: str) -> None:
    throttle = type("Mine", (UserRateThrottle,), {"rate": "2/day", "policy_class": kind})
    assert statuses(3, throttle) == [200, 200, 429]
    assert serve(throttle, address="203.0.113.9").headers["RateLimit"].startswith(f'"user/86400s/{algorithm}";r=1;')


def test_ours__stand_beside_others() -> None:
    class Never(BaseThrottle):  # type: ignore[misc]
        def allow_request(self, request: Any, view: Any) -> bool:
            return False

        def wait(self) -> float:
            return 7

    refused = serve(Never, Three)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "7")


def test_periods__that_differ_do_not_share_a_counter(rates: Rates) -> None:
    rates(user="3/h")

    class Often(UserRateThrottle):
        rate = "100/s"

    # The counter of one must not begin anew because the other was asked.
    found = [serve(throttle).status_code for _ in range(5) for throttle in (UserRateThrottle, Often)]
    assert found[::2] == [200, 200, 200, 429, 429]


def test_classes__are_rest_frameworks_own_kind() -> None:
    assert issubclass(RateThrottle, SimpleRateThrottle)
    assert [throttle.scope for throttle in (AnonRateThrottle, UserRateThrottle)] == ["anon", "user"]


def test_one_counter__for_a_scope_whatever_is_decided_beside_it(rates: Rates, route: str) -> None:
    rates(burst="60/min", sustained="1000/day")
    burst = type("Burst", (UserRateThrottle,), {"scope": "burst"})
    sustained = type("Sustained", (UserRateThrottle,), {"scope": "sustained"})
    serve(burst, sustained, user=user(1))
    serve(sustained, user=user(1))
    assert RateLimiter(SlidingWindow("1000/day", scope="sustained"), alias=route).peek("user:1").remaining == 998
    assert RateLimiter(SlidingWindow("60/min", scope="burst"), alias=route).peek("user:1").remaining == 59
