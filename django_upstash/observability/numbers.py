"""A connection's counts as people read them: percentiles, the cost of a month; of one process, or of all that tell."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from django_upstash.forks import process_name
from django_upstash.log import get_logger
from django_upstash.operations import Operation, Reply, checked, only
from django_upstash.operations.keys import root
from django_upstash.wire.meter import BOUNDS, MeterReading, percentile

if TYPE_CHECKING:
    from django_upstash.connections import Connection

# https://upstash.com/pricing/redis, pay as you go.
DOLLARS_PER_COMMAND = 0.20 / 100_000
DOLLARS_PER_GIGABYTE = 0.03
FREE_GIGABYTES = 200.0
MONTH = 30 * 86_400.0
# Where processes leave their counts for each other, and for how many seconds those are believed.
SHARED_KEY = "django_upstash:stats"
KEPT = 86_400

logger = get_logger("django_upstash")


@dataclass(frozen=True)
class Cost:
    """What a month as busy as the time that was counted would cost, in dollars, and what that takes for granted."""

    commands: float
    gigabytes: float
    dollars: float
    assumptions: tuple[str, ...]


@dataclass(frozen=True)
class Stats:
    """
    What a connection has been asked and has answered, in ``seconds`` of ``processes`` processes.

    ``hits`` and ``misses`` are keys, from the server or the near cache. ``requests`` are round trips asked for; one
    that tasks share is counted for each. ``commands`` are the billed ones as far as they are known here: what the
    ``scripts`` among them run inside is not. Bytes are those on the wire within TLS. Latencies are in milliseconds,
    read from buckets a fifth wide, and None before the first round trip.
    """

    hits: int
    misses: int
    requests: int
    commands: int
    scripts: int
    errors: int
    bytes_sent: int
    bytes_received: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    seconds: float
    processes: int
    month: Cost

    def as_dict(self) -> dict[str, Any]:
        """Return the same as plain data, which JSON can carry."""
        return asdict(self)


def shared_key() -> str:
    """Return the key of the hash of what processes have counted."""
    return root(SHARED_KEY)


def stats(connection: Connection) -> Stats:
    """Return the counts of this process."""
    return _summed([connection.meter.read()])


def publishing(connection: Connection) -> Operation[None]:
    """Return the operation that leaves this process' counts on the server, in two commands and one request."""
    document = json.dumps({"at": time.time(), "counts": connection.meter.read()})
    key = shared_key()
    commands = (("HSET", key, process_name(), document), ("EXPIRE", key, KEPT))

    def parse(replies: list[Reply]) -> None:
        checked(replies)

    return Operation(commands, parse, replay_safe=True)


def collecting() -> Operation[Stats]:
    """
    Return the operation that sums what processes have left on the server within a day, and removes the rest.

    It costs one command, and one more where something is removed.
    """

    def parse(replies: list[Reply]) -> Any:
        fields = only(replies)
        now = time.time()
        found = {name: _reading(text, now) for name, text in zip(fields[::2], fields[1::2], strict=True)}
        stale = [name for name, reading in found.items() if reading is None]
        summed = _summed([reading for reading in found.values() if reading is not None])
        return Operation((("HDEL", shared_key(), *stale),), lambda _: summed) if stale else summed

    return Operation((("HGETALL", shared_key()),), parse)


def _reading(text: bytes, now: float) -> MeterReading | None:
    """Return the counts that a process has left; None for what is too old, or was left by something else."""
    try:
        document = json.loads(text)
        at, reading = document["at"], MeterReading(*document["counts"])
        counts = (at, *reading.latencies, *(count for name, count in reading._asdict().items() if name != "latencies"))
        if len(reading.latencies) != len(BOUNDS) + 1 or not all(map(_is_count, counts)):
            raise ValueError("These are no counts.")
    except (KeyError, TypeError, ValueError, RecursionError):
        logger.warning("Counts that processes share are removed, for they are damaged.")
        return None
    return reading if at >= now - KEPT else None


def _is_count(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**63


def _summed(readings: Sequence[MeterReading]) -> Stats:
    def total(field: str) -> int:
        return sum(getattr(reading, field) for reading in readings)

    latencies = [sum(column) for column in zip(*(reading.latencies for reading in readings), strict=True)]
    # Processes that ran at the same time add up their loads, not their times.
    seconds = max((reading.age for reading in readings), default=0.0)
    return Stats(
        hits=total("hits"),
        misses=total("misses"),
        requests=total("requests"),
        commands=total("commands"),
        scripts=total("scripts"),
        errors=total("errors"),
        bytes_sent=total("bytes_sent"),
        bytes_received=total("bytes_received"),
        latency_p50_ms=_milliseconds(latencies, 0.50),
        latency_p95_ms=_milliseconds(latencies, 0.95),
        latency_p99_ms=_milliseconds(latencies, 0.99),
        seconds=seconds,
        processes=len(readings),
        month=_cost(
            total("commands"), total("bytes_sent") + total("bytes_received"), total("scripts"), seconds, len(readings)
        ),
    )


def _milliseconds(latencies: list[int], share: float) -> float | None:
    found = percentile(latencies, share)
    return None if found is None else found * 1000


def _cost(commands: int, carried: int, scripts: int, seconds: float, processes: int) -> Cost:
    share = MONTH / seconds if seconds else 0.0
    monthly, gigabytes = commands * share, carried * share / 1e9
    dollars = monthly * DOLLARS_PER_COMMAND + max(0.0, gigabytes - FREE_GIGABYTES) * DOLLARS_PER_GIGABYTE
    noun = "process" if processes == 1 else "processes"
    assumptions = (
        f"30 days like the {seconds:.0f} s counted, of {processes} {noun}",
        "pay as you go in one region: $0.20 per 100,000 commands, $0.03 per GB beyond 200 GB, storage left out",
        f"the commands that {scripts} script calls ran inside are billed and not in here",
    )
    return Cost(monthly, gigabytes, dollars, assumptions)
