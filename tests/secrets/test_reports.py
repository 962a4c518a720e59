"""No report of a failing connection shows its secret: every way in, every moment, each route, each reporter."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from django_upstash.connections import connections
from django_upstash.wire import batching
from tests.secrets.moments import CASES, failing
from tests.secrets.planted import places
from tests.secrets.reporters import REPORTERS, Reporter, logged, tracebacks
from tests.secrets.ways import ASYNC, SYNC, arun, outcome, redis_blocking

WAYS = (*SYNC, *ASYNC)
SOME = list(zip(itertools.cycle(WAYS), CASES, strict=False))


@pytest.fixture(autouse=True)
def site(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("NO_PROXY", "no_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    settings.CACHES = {"default": {"BACKEND": "django_upstash.cache.UpstashCache", "LOCATION": "default"}}
    settings.SESSION_ENGINE = "django_upstash.sessions"
    yield
    connections.close_all()


def shown(way: Callable[[], Any], reporters: Iterable[Reporter]) -> Iterator[str]:
    """Yield all that anybody gets to see of a way in that fails."""
    with logged() as lines:
        found = outcome(way)
    yield from lines
    if isinstance(found, str):
        yield found
        return
    assert not isinstance(found, TypeError | AttributeError | NameError), "The way in is not called as it should be."
    yield " ".join(getattr(found, "__notes__", []))
    for reporter in reporters:
        for text in reporter(found):
            yield f"{reporter.__name__}: {text}"


def leaks(way: Any, case: tuple[str, str], reporters: Iterable[Reporter], settings: Any, monkeypatch: Any) -> list[str]:
    with failing(*case, monkeypatch) as entry:
        settings.UPSTASH = {"default": entry}
        del entry
        found = [place for text in shown(way, reporters) for place in places(text)]
        connections.close_all()
    return found[:4]


@pytest.mark.parametrize(("way", "case"), SOME, ids=[f"{way.__name__} {' '.join(case)}" for way, case in SOME])
def test_each_way_and_each_moment(
    way: Any, case: tuple[str, str], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the frames of all exceptions hold includes what the other reporters show of them."""
    monkeypatch.setattr(batching, "PROBATION", 0)
    assert leaks(way, case, [tracebacks], settings, monkeypatch) == []


@pytest.mark.parametrize("way", [redis_blocking, arun], ids=lambda way: str(way.__name__))
@pytest.mark.parametrize("case", [("native", "refused"), ("rest", "cut")], ids=" ".join)
def test_each_reporter(way: Any, case: tuple[str, str], settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert leaks(way, case, REPORTERS, settings, monkeypatch) == []


@pytest.mark.slow
@pytest.mark.full_matrix
@pytest.mark.parametrize("case", CASES, ids=" ".join)
@pytest.mark.parametrize("probation", [16, 0])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.__name__))
def test_each_way_in_each_moment(
    way: Any, case: tuple[str, str], probation: int, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if probation == 0 and way in SYNC:
        pytest.skip("Threads have no probation.")
    monkeypatch.setattr(batching, "PROBATION", probation)
    assert leaks(way, case, REPORTERS, settings, monkeypatch) == []
