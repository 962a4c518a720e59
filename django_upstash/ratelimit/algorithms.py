"""
The algorithms of ``lua/decide.lua`` in Python: for looking without charging, and for when the server is away.

Each takes what is stored for a key, the units wanted (negative to give back), the time in microseconds since 1970,
and the policy's terms; ``lease`` is the name of the lease wanted. States are the very texts that the script writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from django_upstash.ratelimit.policies import MICROSECONDS, SUB_BUCKETS, Terms

_COUNTED = 10**9
_MOST_DIGITS = 20
_RING = re.compile(r"r(\d+) \d+(.*)", re.ASCII | re.DOTALL)
_NUMBER = re.compile(r"\d+", re.ASCII)
_BUCKET = re.compile(r"b(\d+) (\d+) (\d+)(?: [A-Za-z]+)?", re.ASCII)
_LEASE = re.compile(r"([A-Za-z]\w*) (\d+)", re.ASCII)


class Verdict(NamedTuple):
    """What one policy says, and what is then stored; times are in microseconds from now."""

    granted: bool
    remaining: int
    retry_after: int
    reset_after: int
    state: str
    lifetime: int


def decide(text: str | None, cost: int, now: int, terms: Terms, lease: str = "") -> Verdict:
    """Return what the policy of these terms says."""
    algorithm, *numbers = terms
    return _ALGORITHMS[algorithm](text or "", cost, now, lease, *numbers)


def window_state(start: int, count: int) -> str:
    """Return the integer that a window is stored as: adding to it counts."""
    return str(start * _COUNTED + count)


def read_window(value: int) -> tuple[int, int]:
    """Return the start of a stored window and its count."""
    return divmod(value, _COUNTED)


def _window(text: str, cost: int, now: int, lease: str, limit: int, start: int, ends: int, _: int) -> Verdict:
    known = 9 < len(text) <= _MOST_DIGITS and text.isascii() and text.isdigit()
    stored, count = read_window(int(text)) if known else (0, 0)
    is_later = start < stored <= ends
    if is_later:
        start, ends = stored, ends + stored - start
    elif stored != start:
        count = 0
    granted = cost <= 0 or count + cost <= limit
    if granted and not (is_later and cost < 0):
        count = max(0, count + cost)
    left = ends * MICROSECONDS - now
    wait, reset = 0 if granted else left, left if count else 0
    return Verdict(granted, max(0, limit - count), wait, reset, window_state(start, count), left)


def _sliding(text: str, cost: int, now: int, lease: str, limit: int, width: int, *_: int) -> Verdict:
    newest, counts = _ring(text, now // width)
    used = sum(counts)
    granted = cost <= 0 or used + cost <= limit
    age = 0
    if not granted:
        age = _age_when_free(counts, used + cost - limit)
    elif cost > 0:
        counts[0] += cost
    else:
        _give_back(counts, -cost)

    def leaves(age: int) -> int:
        return (newest - age + SUB_BUCKETS + 1) * width - now

    used = sum(counts)
    youngest = next((age for age, count in enumerate(counts) if count), 0)
    oldest = next((age for age in range(SUB_BUCKETS, -1, -1) if counts[age]), -1)
    state = " ".join([f"r{newest} {used - counts[0]}", *map(str, counts[: oldest + 1])])
    wait, left = 0 if granted else leaves(age), leaves(youngest)
    return Verdict(granted, max(0, limit - used), wait, left if used else 0, state, left)


def _ring(text: str, newest: int) -> tuple[int, list[int]]:
    """Return the number of the newest part and the counts of all parts, by their age."""
    empty = [0] * (SUB_BUCKETS + 1)
    match = _RING.fullmatch(text)
    if match is None or int(match[1]) - newest > SUB_BUCKETS:
        return newest, empty
    newest = max(newest, int(match[1]))
    shifted = empty[: newest - int(match[1])] + [int(count) for count in _NUMBER.findall(match[2])]
    return newest, (shifted + empty)[: SUB_BUCKETS + 1]


def _age_when_free(counts: list[int], excess: int) -> int:
    """Return the age of the part with which enough will have left; the newest where all that is there is not enough."""
    for age in range(SUB_BUCKETS, 0, -1):
        excess -= counts[age]
        if excess <= 0:
            return age
    return 0


def _give_back(counts: list[int], units: int) -> None:
    # From the oldest on: whatever remains is remembered for too long rather than too short.
    for age in range(SUB_BUCKETS, -1, -1):
        back = min(counts[age], units)
        counts[age] -= back
        units -= back


def _bucket(text: str, cost: int, now: int, lease: str, limit: int, scale: int, drain: int, tick: int) -> Verdict:
    used, full, at = 0, limit * scale, now // tick
    if match := _BUCKET.fullmatch(text):
        last, level, grain = (int(number) for number in match.groups())
        last //= tick
        used = level if grain == scale else -(-level * scale // grain)
        if last <= at:
            used = max(0, used - (at - last) * drain)
        elif (last - at) * drain <= full:
            at = last
        else:
            used = 0
    wanted, wait = used + cost * scale, 0
    granted = cost <= 0 or wanted <= full
    if granted:
        used = max(0, wanted)
    else:
        wait = (at + -((full - wanted) // drain)) * tick - now
    left = (at + -(-used // drain)) * tick - now
    state = f"b{at * tick} {used} {scale}"
    return Verdict(granted, max(0, (full - used) // scale), wait, left if used else 0, state, left)


def _leases(text: str, cost: int, now: int, lease: str, limit: int, length: int, *_: int) -> Verdict:
    stored = _LEASE.findall(text) if text.startswith("l ") else []
    held = {name: int(ends) for name, ends in stored if int(ends) > now and name != lease}
    granted = cost <= 0 or len(held) < limit
    wait = 0 if granted else min(held.values(), default=now + length) - now
    if granted and cost > 0:
        held[lease] = now + length
    left = max(held.values(), default=now) - now
    state = " ".join(["l", *(f"{name} {ends}" for name, ends in held.items())])
    return Verdict(granted, max(0, limit - len(held)), wait, left, state, max(left, 1))


_ALGORITHMS: dict[str, Callable[..., Verdict]] = {
    "window": _window,
    "sliding": _sliding,
    "bucket": _bucket,
    "leases": _leases,
}
