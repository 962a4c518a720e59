"""What the benchmarks have in common: their arguments, the addresses they measure at, and the report they print."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple, TypeAlias

from benchmarks import machine
from benchmarks.rounds import Row, Timing, measure
from tests.fault_proxy import FaultProxy
from tests.servers import Server, ServerMissing, start_valkey

LOOPBACK, FAR = "loopback", "with 5 ms"
LATENCY = 0.005  # seconds, on each round trip
_QUICK_ROUNDS, _QUICK_SECONDS = 2, 0.0005


@dataclass(frozen=True)
class Options:
    """What the command line asks for. ``rounds`` are the turns that each contender has."""

    quick: bool
    rounds: int
    only: str

    def wants(self, name: str) -> bool:
        """Tell whether the row of this name is asked for."""
        return self.only.lower() in name.lower()


class Comparison(NamedTuple):
    """Two contenders of a row, and how many times as fast as the second the first is meant to be."""

    ours: str
    peer: str
    goal: float | None = None


Compare: TypeAlias = Callable[[Row, Mapping[str, Timing]], Iterable[Mapping[str, Any]]]


def run(module: str, description: str, rounds: int, report: Callable[[Options], dict[str, Any]]) -> None:
    """Print what ``report`` returns as JSON, with everything on one core; end with a sentence where it cannot."""
    parser = _parser(module, description, rounds)
    arguments = parser.parse_args()
    if sys.platform != "linux":
        parser.exit(1, "The benchmark pins everything to one core and reads other processes' clocks: it needs Linux.\n")
    machine.pin_to_one_core()
    turns = arguments.rounds or (_QUICK_ROUNDS if arguments.quick else rounds)
    try:
        found = report(Options(arguments.quick, turns, arguments.only))
    except ServerMissing as error:
        parser.exit(1, f"{error}\n")
    if not any(part for name, part in found.items() if name != "machine"):
        parser.error(f"no row's name contains {arguments.only!r}; docs/benchmarks.md lists them")
    json.dump(found, sys.stdout, indent=2)
    print()


@contextmanager
def near_and_far() -> Iterator[tuple[Server, dict[str, str]]]:
    """Start a server; give it, and its URLs by distance."""
    with start_valkey() as server, FaultProxy(server.port) as proxy:
        proxy.latency(LATENCY)
        yield server, {LOOPBACK: server.tcp_url, FAR: proxy.url}


def timed(row: Row, options: Options, servers: Sequence[int], compare: Compare) -> dict[str, Any]:
    """Time a row, with the servers by their pids, and return it as reports have it, in microseconds per operation."""
    print(row.name, "...", file=sys.stderr)
    timings = measure(replace(row, seconds=_QUICK_SECONDS) if options.quick else row, options.rounds, servers)
    return {
        "name": row.name,
        "rounds": options.rounds,
        "measure": row.measure,
        "microseconds": {name: asdict(timing) for name, timing in timings.items()},
        "comparisons": list(compare(row, timings)),
    }


def compared(row: Row, timings: Mapping[str, Timing], comparisons: Iterable[Comparison]) -> Iterator[dict[str, Any]]:
    """Yield how many times as fast as its peer each of ours is, by what the row measures."""
    for ours, peer, goal in comparisons:
        ratio = round(getattr(timings[peer], row.measure) / getattr(timings[ours], row.measure), 2)
        found: dict[str, Any] = {"ours": ours, "peer": peer, row.measure: ratio}
        yield found if goal is None else found | {"goal": goal, "reached": ratio >= goal}


def _parser(module: str, description: str, rounds: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--quick", action="store_true", help="show that everything runs; the times mean nothing")
    parser.add_argument("--rounds", type=_positive, metavar="N", help=f"turns of each contender (default: {rounds})")
    parser.add_argument("--only", default="", metavar="NAME", help="only what has NAME in its name")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rounds, 1 or more")
    return int(text)
