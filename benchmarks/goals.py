"""How many times as fast as a peer the package is meant to be, by row, ours and peer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from benchmarks.peers import BARE_SOCKET, DJANGO, DJANGO_REDIS, OURS_REST, SDK, SIGNED, UNSIGNED
from benchmarks.rounds import Row, Timing

OURS = (UNSIGNED, SIGNED, OURS_REST)

GOALS: dict[tuple[str, str, str], float] = {
    ("native get 100 B", UNSIGNED, DJANGO_REDIS): 2.3,
    ("native set 100 B", UNSIGNED, DJANGO_REDIS): 2.5,
    ("native add 100 B", UNSIGNED, DJANGO_REDIS): 2.5,
    ("native get 100 B", UNSIGNED, DJANGO): 6,
    ("native set 100 B", UNSIGNED, DJANGO): 6,
    ("native add 100 B", UNSIGNED, DJANGO): 6,
    ("native get_many(100) 100 B", UNSIGNED, DJANGO_REDIS): 3,
    ("native set_many(100) 100 B", UNSIGNED, DJANGO_REDIS): 3.5,
    ("native 16 threads", UNSIGNED, DJANGO_REDIS): 2.2,
    ("native get 100 B", SIGNED, DJANGO_REDIS): 2,
    ("native set 100 B", SIGNED, DJANGO_REDIS): 2.2,
    ("native get_many(100) 100 B", SIGNED, DJANGO_REDIS): 1.6,
    ("native set_many(100) 100 B", SIGNED, DJANGO_REDIS): 2.8,
    ("native 100 gathered aget", UNSIGNED, DJANGO_REDIS): 10,
    ("native 100 gathered aget", SIGNED, DJANGO_REDIS): 10,
    ("REST get 100 B", OURS_REST, SDK): 6,
    ("REST get 100 KB", OURS_REST, SDK): 5,
    ("REST 100 gathered aget", OURS_REST, SDK): 20,
}


def comparisons(row: Row, timings: Mapping[str, Timing]) -> Iterator[dict[str, Any]]:
    """
    Yield how many times as fast each of ours is as each peer, by each of the times.

    ``limit`` is the ratio that a client which costs nothing would reach on this machine, where the row tells. The
    limit and the goal are about what the row measures.
    """
    bare = timings.get(BARE_SOCKET)
    for ours in [name for name in timings if name in OURS]:
        for peer in [name for name in timings if name not in (*OURS, BARE_SOCKET)]:
            ratios = _ratios(timings[peer], timings[ours])
            found: dict[str, Any] = {"ours": ours, "peer": peer, **ratios}
            if bare is not None:
                found["limit"] = _ratios(timings[peer], bare)[row.measure]
            goal = GOALS.get((row.name, ours, peer))
            if goal is not None:
                found |= {"goal": goal, "reached": ratios[row.measure] >= goal}
            yield found


def _ratios(peer: Timing, ours: Timing) -> dict[str, float]:
    return {name: round(taken / getattr(ours, name), 2) for name, taken in asdict(peer).items()}
