"""The operations of the limiter: what each sends, and how it reads the replies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, TypeAlias, TypeVar

from django_upstash import scripts
from django_upstash.capabilities import Capabilities
from django_upstash.exceptions import ResponseError
from django_upstash.operations import Argument, Command, Operation, Reply, only, then
from django_upstash.ratelimit.algorithms import Verdict, decide, read_window, window_state
from django_upstash.ratelimit.decisions import Outcome
from django_upstash.ratelimit.fallback import unchanged
from django_upstash.ratelimit.memory import Memory
from django_upstash.ratelimit.policies import MICROSECONDS, Policy, Terms

# Half the time of calling Outcome, of which every decision makes some.
_made = tuple.__new__
# As the script: the server's clock and ours differ a little.
_GRACE = 1000


@dataclass(slots=True)
class Attempt:
    """Units wanted of some policies, for the identities whose keys these are, at a time in microseconds."""

    policies: Sequence[Policy]
    keys: Sequence[str]
    cost: int
    now: int
    lease: str = ""

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
        return _count(memory, capabilities, attempt, conclude)
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
    policies, now, lease = attempt.policies, attempt.now, attempt.lease
    if len(policies) == 1:
        terms = policies[0].texts(now)
        return [str(now), str(cost), *terms, lease] if lease else [str(now), str(cost), *terms]
    fives = [(*policy.texts(now), lease, "", "")[:5] for policy in policies]
    return [str(now), str(cost), *chain.from_iterable(fives), "MSETEX" if capabilities.has("MSETEX") else "SET"]


def _run(capabilities: Capabilities, attempt: Attempt, cost: int, conclude: Concluding[Result]) -> Operation[Result]:
    policies = attempt.policies

    def parse(replies: list[Reply]) -> Result:
        reply = only(replies)
        if reply[1]:
            capabilities.lacks.add("MSETEX")
        return conclude(reply[0] == 1, _outcomes(policies, reply, 2))

    arguments = script_arguments(capabilities, attempt, cost)
    return scripts.load("ratelimit").operation(capabilities, attempt.keys, arguments, parse)


def _outcomes(policies: Sequence[Policy], numbers: Sequence[int], place: int = 0) -> tuple[Outcome, ...]:
    """Return what the policies say, of four numbers each: granted, the units left, and two times."""
    outcomes = []
    for policy in policies:
        granted, remaining, retry, reset = numbers[place : place + 4]
        outcomes.append(_made(Outcome, (policy, granted == 1, remaining, retry / MICROSECONDS, reset / MICROSECONDS)))
        place += 4
    return tuple(outcomes)


def _count(
    memory: Memory, capabilities: Capabilities, attempt: Attempt, conclude: Concluding[Result]
) -> Operation[Result]:
    """
    Count one in a window by INCR, which says whether it is the window meant, for the integer holds its start.

    Where this process has not seen the window, it is begun unless it exists. A full one is left to the script, for
    INCR would count the refused as well; so are windows that have ended, and counters without a time to live.
    """
    (policy,), (key,) = attempt.policies, attempt.keys
    _, limit, start, ends, _ = policy.terms(attempt.now)
    known, count = memory.windows.get(key, (0, 0))
    if known == start and count >= limit:
        return _count_by_script(memory, capabilities, attempt, start, conclude)

    def parse(replies: list[Reply]) -> Any:
        reply = replies[-1]
        found, count = read_window(reply) if isinstance(reply, int) else (0, 0)
        if not start <= found <= ends:
            if isinstance(reply, Exception) and type(reply) is not ResponseError:
                raise reply
            return _count_by_script(memory, capabilities, attempt, start, conclude)
        memory.windows.remember(key, (found, min(count, limit)))
        if count > limit:
            # Others filled the window since this process looked: what was counted too much is taken back.
            refused = _windowed(attempt, ends, False, 0)
            counted = replace(attempt, now=max(attempt.now, found * MICROSECONDS))
            return then(give_back(capabilities, counted), lambda _: conclude(False, refused))
        return conclude(True, _windowed(attempt, ends + found - start, True, limit - count))

    counting: tuple[Command, ...] = (("INCR", key),)
    if known != start:
        lifetime = (ends * MICROSECONDS - attempt.now) // 1000 + _GRACE
        counting = (("SET", key, window_state(start, 0), "NX", "PX", str(lifetime)), *counting)
    return Operation(counting, parse, replay_safe=False)


def _count_by_script(
    memory: Memory, capabilities: Capabilities, attempt: Attempt, start: int, conclude: Concluding[Result]
) -> Operation[Result]:
    def remember(granted: bool, outcomes: tuple[Outcome, ...]) -> Result:
        (outcome,) = outcomes
        memory.windows.remember(attempt.keys[0], (start, outcome.limit - outcome.remaining))
        return conclude(granted, outcomes)

    return _run(capabilities, attempt, 1, remember)


def _windowed(attempt: Attempt, ends: int, granted: bool, remaining: int) -> tuple[Outcome, ...]:
    left = (ends * MICROSECONDS - attempt.now) / MICROSECONDS
    (policy,) = attempt.policies
    return (Outcome(policy, granted, remaining, 0.0 if granted else left, left),)


def _text(reply: Reply) -> str | None:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else None
