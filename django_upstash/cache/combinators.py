"""Operations made of operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from django_upstash.operations import Operation, then


def known(result: Any) -> Operation[Any]:
    """Return the operation that sends nothing, for its result is known."""
    return Operation((), lambda replies: result)


def failing(error: Exception) -> Operation[Any]:
    """Return the operation that sends nothing and raises an error that is the caller's, whatever the server says."""

    def parse(replies: list[Any]) -> Any:
        raise error

    return Operation((), parse)


def in_turn(
    operations: Sequence[Operation[Any]], gather: Callable[[list[Any]], Any], results: Sequence[Any] = ()
) -> Operation[Any]:
    """Return the operation that runs these one after another, and whose result ``gather`` makes of theirs."""
    if not operations:
        return known(gather([*results]))
    first, *others = operations

    def after(result: Any) -> Any:
        done = [*results, result]
        return in_turn(others, gather, done) if others else gather(done)

    return then(first, after)


def together(operations: Sequence[Operation[Any]], gather: Callable[[list[Any]], Any]) -> Operation[Any]:
    """Return the operation that runs these side by side, in as many round trips as the longest takes."""
    results: dict[int, Any] = {}

    def step(pending: dict[int, Operation[Any]]) -> Operation[Any]:
        def parse(replies: list[Any]) -> Any:
            answers = iter(replies)
            following: dict[int, Operation[Any]] = {}
            for place, operation in pending.items():
                result = operation.parse([*islice(answers, len(operation.commands))])
                (following if isinstance(result, Operation) else results)[place] = result
            return step(following) if following else gather([results[place] for place in sorted(results)])

        return Operation([command for operation in pending.values() for command in operation.commands], parse)

    return step(dict(enumerate(operations))) if operations else known(gather([]))
