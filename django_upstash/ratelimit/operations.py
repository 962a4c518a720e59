"""The operations of the limiter: what each sends, and how it reads the replies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, TypeAlias, TypeVar

from django_upstash.exceptions import ProtocolError, ResponseError
from django_upstash.operations import Argument, Command, Operation, Reply, only, scripts, then
from django_upstash.operations.capabilities import EXACT_INTEGERS, Capabilities
from django_upstash.ratelimit.algorithms import Verdict, decide, read_window, window_state
from django_upstash.ratelimit.clock import ServerClock
from django_upstash.ratelimit.decisions import Outcome
from django_upstash.ratelimit.fallback import unchanged
from django_upstash.ratelimit.policies import MICROSECONDS, Policy, Terms
from django_upstash.ratelimit.process_state import Memory

# Half the time of calling Outcome, of which every decision makes some.
_made = tuple.__new__
# As the script: the server's clock and ours differ a little.
_GRACE = 1000


@dataclass(slots=True)
class Attempt:
    """
    Units wanted of some policies, for the identities whose keys these are, at a time in microseconds.

    The time is that of ``clock``; where that turns out to be wrong, it becomes the right one.
    """

    policies: Sequence[Policy]
    keys: Sequence[str]
    cost: int
    now: int
    lease: str = ""
    clock: ServerClock | None = None
    is_fresh: bool = False

    @property
    def terms(self) -> list[Terms]:
        return [policy.terms(self.now) for policy in self.policies]


Result = TypeVar("Result")
Taking: TypeAlias = Callable[[list[Reply]], None]
# Takes whether all policies grant an attempt, and what each says.
Concluding: TypeAlias = Callable[[bool, tuple[Outcome, ...]], Result]


def charge(
    memory: Memory, capabilities: Capabilities, attempt: Attempt, conclude: Concluding[Result]
) -> Operation[Result]:
    """Charge every policy, or none where one refuses."""
    policies = attempt.policies
    if attempt.cost == 1 and len(policies) == 1 and policies[0].algorithm == "window":
        return _WindowCount(memory, capabilities, attempt, conclude).operation()
    return _run(capabilities, attempt, attempt.cost, conclude)


def give_back(capabilities: Capabilities, attempt: Attempt) -> Operation[None]:
    """Give back to every policy what an earlier attempt was charged."""
    return _run(capabilities, attempt, -attempt.cost, lambda granted, outcomes: None)


def look(attempt: Attempt, conclude: Concluding[Result]) -> Operation[Result]:
    """Learn what ``charge`` would say, charging nothing; what is left is what is left now."""

    def parse(replies: list[Reply]) -> Result:
        states = [_text(reply) for reply in only(replies)]
        terms = attempt.terms
        verdicts = [decide(state, attempt.cost, attempt.now, term) for state, term in zip(states, terms, strict=True)]
        outcomes = outcomes_of(attempt.policies, unchanged(states, verdicts, attempt.now, terms))
        return conclude(all(outcome.allowed for outcome in outcomes), outcomes)

    return Operation((("MGET", *attempt.keys),), parse)


def forget(keys: Sequence[str]) -> Operation[int]:
    """Remove the counters; return how many there were."""
    return Operation((("DEL", *keys),), only)


def carrying(operation: Operation[Any], commands: Sequence[Command], take: Taking) -> Operation[Any]:
    """Return the operation with commands of another purpose in the same round trip, whose replies ``take`` gets."""
    if not commands:
        return operation
    count = len(operation.commands)

    def parse(replies: list[Reply]) -> Any:
        take(replies[count:])
        return operation.parse(replies[:count])

    return Operation((*operation.commands, *commands), parse, replay_safe=operation.replay_safe)


def outcomes_of(policies: Sequence[Policy], verdicts: Iterable[Verdict]) -> tuple[Outcome, ...]:
    """Return verdicts in the words of policies."""
    return _outcomes(policies, [number for verdict in verdicts for number in verdict[:4]])


def script_arguments(capabilities: Capabilities, attempt: Attempt, cost: int) -> list[Argument]:
    """Return what the script takes beside the keys: what it does not need is not sent."""
    policies, now, lease, clock = attempt.policies, attempt.now, attempt.lease, attempt.clock
    sampled = "1" if attempt.is_fresh else str(clock.sampled_at) if clock else ""
    common = (str(now), str(cost), clock.names if clock else "", sampled)
    if len(policies) == 1:
        terms = policies[0].texts(now)
        return [*common, *terms, lease] if lease else [*common, *terms]
    fives = [(*policy.texts(now), lease, "", "")[:5] for policy in policies]
    return [*common, *chain.from_iterable(fives), "MSETEX" if capabilities.has("MSETEX") else "SET"]


def _run(capabilities: Capabilities, attempt: Attempt, cost: int, conclude: Concluding[Result]) -> Operation[Result]:
    policies = attempt.policies

    def parse(replies: list[Reply]) -> Any:
        reply = only(replies)
        clock = attempt.clock
        if clock and reply[0] < 0:
            return _run_by_the_right_time(capabilities, attempt, clock, cost, conclude)
        if reply[1]:
            capabilities.lacks.add("MSETEX")
        if clock and len(reply) > 2 + 4 * len(policies):
            clock.agrees_with(reply[-1].decode("ascii", "replace"))
        return conclude(reply[0] == 1, _outcomes(policies, reply, 2))

    arguments = script_arguments(capabilities, attempt, cost)
    return scripts.load("ratelimit/decide").operation(capabilities, attempt.keys, arguments, parse)


def _run_by_the_right_time(
    capabilities: Capabilities, attempt: Attempt, clock: ServerClock, cost: int, conclude: Concluding[Result]
) -> Operation[Result]:
    """Ask for the server's time, and then once more: what is stored was written by another clock."""
    started = clock.started()

    def parse(replies: list[Reply]) -> Operation[Result]:
        clock.correct(started, *(int(part) for part in only(replies)))
        attempt.now, attempt.is_fresh = clock.now(), True
        return _run(capabilities, attempt, cost, conclude)

    return Operation((("TIME",),), parse)


def _outcomes(policies: Sequence[Policy], numbers: Sequence[int], place: int = 0) -> tuple[Outcome, ...]:
    """Return what the policies say, of four numbers each: granted, the units left, and two times."""
    outcomes = []
    for policy in policies:
        granted, remaining, retry, reset = numbers[place : place + 4]
        outcomes.append(_made(Outcome, (policy, granted == 1, remaining, retry / MICROSECONDS, reset / MICROSECONDS)))
        place += 4
    return tuple(outcomes)


class _WindowCount:
    """
    Counts one in a window by INCR, which says whether it is the window meant, for the integer holds its start.

    Where this process has not seen the window, it is begun unless it exists. A full one is left to the script, for
    INCR would count the refused as well; so are windows that have ended, and counters without a time to live.
    """

    __slots__ = ("_attempt", "_capabilities", "_conclude", "_ends", "_key", "_limit", "_start", "_windows")

    def __init__(self, memory: Memory, capabilities: Capabilities, attempt: Attempt, conclude: Concluding[Any]) -> None:
        self._windows = memory.windows
        self._capabilities = capabilities
        self._attempt = attempt
        self._conclude = conclude
        (policy,), (self._key,) = attempt.policies, attempt.keys
        _, self._limit, self._start, self._ends, _ = policy.terms(attempt.now)

    def operation(self) -> Operation[Any]:
        """Return the operation that counts."""
        known, count = self._windows.get(self._key, (0, 0))
        is_full = known == self._start and count >= self._limit
        if is_full or not self._capabilities.has(EXACT_INTEGERS):
            return self._by_script()
        counting: tuple[Command, ...] = (("INCR", self._key),)
        if known != self._start:
            counting = (self._beginning(), *counting)
        return Operation(counting, self._parse, replay_safe=False)

    def _beginning(self) -> Command:
        lifetime = (self._ends * MICROSECONDS - self._attempt.now) // 1000 + _GRACE
        return "SET", self._key, window_state(self._start, 0), "NX", "PX", str(lifetime)

    def _parse(self, replies: list[Reply]) -> Any:
        reply = replies[-1]
        if isinstance(reply, int) and not self._capabilities.is_exact(reply):
            return _read_exactly(self._capabilities, self._key, reply, self._judge)
        return self._judge(reply)

    def _judge(self, reply: Reply) -> Any:
        found, count = read_window(reply) if isinstance(reply, int) else (0, 0)
        if not self._start <= found <= self._ends:
            if isinstance(reply, Exception) and type(reply) is not ResponseError:
                raise reply
            return self._by_script()
        if count == 0:
            raise ProtocolError("The server says of a counter that it has just added to that it is 0.")
        self._windows.remember(self._key, (found, min(count, self._limit)))
        if count > self._limit:
            return self._taken_back(found)
        left, ends = self._limit - count, self._ends + found - self._start
        return self._conclude(True, _windowed(self._attempt, ends, True, left))

    def _taken_back(self, found: int) -> Operation[Any]:
        """Take back what was counted too much, for others have filled the window since this process looked."""
        refused = _windowed(self._attempt, self._ends, False, 0)
        counted = replace(self._attempt, now=max(self._attempt.now, found * MICROSECONDS))
        return then(give_back(self._capabilities, counted), lambda _: self._conclude(False, refused))

    def _by_script(self) -> Operation[Any]:
        return _run(self._capabilities, self._attempt, 1, self._remember)

    def _remember(self, granted: bool, outcomes: tuple[Outcome, ...]) -> Any:
        (outcome,) = outcomes
        began = outcome.policy.terms(self._attempt.now)[2]
        self._windows.remember(self._key, (began, outcome.limit - outcome.remaining))
        return self._conclude(granted, outcomes)


def _read_exactly(capabilities: Capabilities, key: str, rounded: int, judge: Callable[[Reply], Any]) -> Operation[Any]:
    """Read as text what has been counted, for the integer may have been rounded, and learn whether it was."""

    def parse(replies: list[Reply]) -> Any:
        reply = only(replies)
        value = int(reply) if isinstance(reply, bytes) and reply.isdigit() else 0
        if value != rounded:
            capabilities.lacks.add(EXACT_INTEGERS)  # or somebody has counted in between, which is rare
        return judge(value)

    return Operation((("GET", key),), parse)


def _windowed(attempt: Attempt, ends: int, granted: bool, remaining: int) -> tuple[Outcome, ...]:
    left = (ends * MICROSECONDS - attempt.now) / MICROSECONDS
    (policy,) = attempt.policies
    return (Outcome(policy, granted, remaining, 0.0 if granted else left, left),)


def _text(reply: Reply) -> str | None:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else None
