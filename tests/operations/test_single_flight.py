"""Work that one does at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from django_upstash.operations.single_flight import SingleFlight


def test_begin__is_for_one_until_the_work_is_done() -> None:
    work: SingleFlight[int] = SingleFlight()
    begun = work.begin()
    assert begun is not None
    assert work.begin() is None
    begun.set_result(7)
    assert work.latest.result(0) == 7
    assert work.begin(max_age=3600.0) is None
    assert work.begin() is not None


def test_begin__of_many_at_once_is_for_one() -> None:
    work: SingleFlight[int] = SingleFlight()
    with ThreadPoolExecutor(8) as threads:
        begun = list(threads.map(lambda _: work.begin(), range(64)))
    assert len([one for one in begun if one is not None]) == 1


def test_waiter__cannot_cancel_the_work() -> None:
    work: SingleFlight[int] = SingleFlight()
    begun = work.begin()
    assert begun is not None
    assert not work.latest.cancel()
    begun.set_result(1)


def test_forget__lets_another_begin() -> None:
    work: SingleFlight[int] = SingleFlight()
    before = work.begin()
    work.forget()
    now = work.begin(max_age=3600.0)
    assert now is not None
    assert now is not before
    assert work.latest is now
