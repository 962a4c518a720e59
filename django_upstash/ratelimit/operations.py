"""The operations of the limiter: what each sends, and how it reads the replies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from django_upstash import scripts
from django_upstash.capabilities import Capabilities
from django_upstash.exceptions import ResponseError
from django_upstash.operations import Argument, Command, Operation, Reply, only
from django_upstash.ratelimit.algorithms import Verdict, decide, read_window, window_state
from django_upstash.ratelimit.decisions import Outcome
from django_upstash.ratelimit.fallback import unchanged
from django_upstash.ratelimit.memory import Memory
from django_upstash.ratelimit.policies import MICROSECONDS, Policy, Terms

# As the script: the server's clock and ours differ a little.
_GRACE = 1000


class Attempt(NamedTuple):
    """Units wanted of some policies, for the identities whose keys these are, at a time in microseconds."""

    policies: Sequence[Policy]
    keys: Sequence[str]
    cost: int
    now: int
    lease: str = ""

    @property
    def terms(self) -> list[Terms]:
        return [policy.terms(self.now) for policy in self.policies]


class Answer(NamedTuple):
    """Whether all policies grant an attempt, and what each says."""

    granted: bool
    outcomes: tuple[Outcome, ...]


Taking: TypeAlias = Callable[[list[Reply]], None]


def charge(memory: Memory, capabilities: Capabilities, attempt: Attempt) -> Operation[Answer]:
    """Charge every policy, or none where one refuses."""
    if attempt.cost == 1 and len(attempt.policies) == 1 and attempt.policies[0].algorithm == "window":
        return _count(memory, capabilities, attempt)
    return _run(capabilities, attempt, attempt.cost)


def give_back(capabilities: Capabilities, attempt: Attempt) -> Operation[Answer]:
    """Give back to every policy what an earlier attempt was charged."""
    return _run(capabilities, attempt, -attempt.cost)


def look(attempt: Attempt) -> Operation[Answer]:
    """Return what ``charge`` would say, charging nothing; what is left is what is left now."""

    def parse(replies: list[Reply]) -> Answer:
        states = [_text(reply) for reply in only(replies)]
        terms = attempt.terms
        verdicts = [decide(state, attempt.cost, attempt.now, term) for state, term in zip(states, terms, strict=True)]
        return answer(attempt.policies, unchanged(states, verdicts, attempt.now, terms))

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


def then(operation: Operation[Any], follow: Callable[[Any], Any]) -> Operation[Any]:
    """Return the operation whose result is what ``follow`` makes of the first one's, another operation perhaps."""

    def parse(replies: list[Reply]) -> Any:
        result = operation.parse(replies)
        return then(result, follow) if isinstance(result, Operation) else follow(result)

    return Operation(operation.commands, parse, replay_safe=operation.replay_safe)


def answer(policies: Sequence[Policy], verdicts: Iterable[Verdict]) -> Answer:
    """Return verdicts in the words of policies."""
    outcomes = tuple(_outcome(policy, *verdict[:4]) for policy, verdict in zip(policies, verdicts, strict=True))
    return Answer(all(outcome.allowed for outcome in outcomes), outcomes)


def _run(capabilities: Capabilities, attempt: Attempt, cost: int) -> Operation[Answer]:
    several = "MSETEX" if capabilities.has("MSETEX") else "SET"
    arguments: list[Argument] = [str(attempt.now), str(cost), several]
    for policy in attempt.policies:
        arguments += map(str, policy.terms(attempt.now))
    arguments.append(attempt.lease)

    def parse(replies: list[Reply]) -> Answer:
        reply = only(replies)
        if reply[1]:
            capabilities.lacks.add("MSETEX")
        outcomes = [
            _outcome(policy, *reply[place : place + 4])
            for place, policy in zip(_PLACES, attempt.policies, strict=False)
        ]
        return Answer(bool(reply[0]), tuple(outcomes))

    return scripts.load("ratelimit").operation(capabilities, attempt.keys, arguments, parse)


# Where the numbers of each policy stand in the reply.
_PLACES = range(2, 2**31, 4)


def _outcome(policy: Policy, granted: int | bool, remaining: int, retry_after: int, reset_after: int) -> Outcome:
    return Outcome(policy, bool(granted), remaining, retry_after / MICROSECONDS, reset_after / MICROSECONDS)


def _count(memory: Memory, capabilities: Capabilities, attempt: Attempt) -> Operation[Answer]:
    """
    Count one in a window by INCR, which says whether it is the window meant, for the integer holds its start.

    Where this process has not seen the window, it is begun unless it exists. A full one is left to the script, for
    INCR would count the refused as well; so are windows that have ended, and counters without a time to live.
    """
    (policy,), (key,) = attempt.policies, attempt.keys
    _, limit, start, ends, _ = policy.terms(attempt.now)
    known, count = memory.windows.get(key, (0, 0))
    script = _remembering(memory, attempt, start, _run(capabilities, attempt, 1))
    if known == start and count >= limit:
        return script

    def parse(replies: list[Reply]) -> Any:
        reply = replies[-1]
        found, count = read_window(reply) if isinstance(reply, int) else (0, 0)
        if not start <= found <= ends:
            return script if isinstance(reply, int) or type(reply) is ResponseError else only(replies[-1:])
        memory.windows.remember(key, (found, min(count, limit)))
        if count > limit:
            # Others filled the window since this process looked: what was counted too much is taken back.
            return then(give_back(capabilities, attempt), lambda _: _windowed(attempt, ends, False, 0))
        return _windowed(attempt, ends + found - start, True, limit - count)

    counting: tuple[Command, ...] = (("INCR", key),)
    if known != start:
        lifetime = (ends * MICROSECONDS - attempt.now) // 1000 + _GRACE
        counting = (("SET", key, window_state(start, 0), "NX", "PX", str(lifetime)), *counting)
    return Operation(counting, parse, replay_safe=False)


def _remembering(memory: Memory, attempt: Attempt, start: int, operation: Operation[Answer]) -> Operation[Answer]:
    def follow(found: Answer) -> Answer:
        (outcome,) = found.outcomes
        memory.windows.remember(attempt.keys[0], (start, outcome.limit - outcome.remaining))
        return found

    return then(operation, follow)


def _windowed(attempt: Attempt, ends: int, granted: bool, remaining: int) -> Answer:
    left = (ends * MICROSECONDS - attempt.now) / MICROSECONDS
    (policy,) = attempt.policies
    return Answer(granted, (Outcome(policy, granted, remaining, 0.0 if granted else left, left),))


def _text(reply: Reply) -> str | None:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else None
