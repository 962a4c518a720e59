"""Batches of usage, and the operations that write and read it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django_upstash.exceptions import ResponseError
from django_upstash.log import get_logger
from django_upstash.operations import Argument, Operation, Reply, only, scripts, then
from django_upstash.operations.capabilities import Capabilities
from django_upstash.tenants.tenant_keys import Space

# For how long a batch whose answer was lost may be sent again and still count once.
REMEMBERED_MS = 24 * 3600 * 1000
MOST_EVENTS = 1000
_NUMBER = re.compile(r"-?[0-9]{1,19}")
logger = get_logger("django_upstash.tenants")


@dataclass(frozen=True)
class Batch:
    """
    What one process has counted of one tenant in one period.

    ``events`` are those with an id, which count once: names and amounts, by the digest of name and id.
    """

    tenant: str
    period: str
    number: int
    counts: Mapping[str, int]
    events: Mapping[str, tuple[str, int]]

    @property
    def size(self) -> int:
        return len(self.counts) + len(self.events)


def write(
    space: Space, capabilities: Capabilities, process: str, batches: Sequence[Batch]
) -> Operation[list[ResponseError | None]]:
    """
    Return the operation that adds the batches to what is stored, each unless it was added before.

    It returns for each the error with which the server has refused it, of which then nothing was added.
    """
    return _joined([_writing(space, capabilities, process, batch) for batch in batches])


def read(space: Space, tenant: str, period: str) -> Operation[dict[str, int]]:
    """Return the operation that reads what a tenant has used in a period."""

    def parse(replies: list[Reply]) -> dict[str, int]:
        texts = [part.decode("utf-8", "replace") for part in only(replies)]
        pairs = zip(texts[::2], texts[1::2], strict=True)
        # What somebody else wrote there is passed over: it must not hide the others.
        return {name: int(amount) for name, amount in pairs if _NUMBER.fullmatch(amount)}

    return Operation((("HGETALL", space.usage(tenant, period)),), parse)


def _writing(space: Space, capabilities: Capabilities, process: str, batch: Batch) -> Operation[Any]:
    tenant, period, kept = batch.tenant, batch.period, space.settings.keep_usage
    keys = [space.usage(tenant, period), space.usage_from(tenant, process), space.usage_ids(tenant, period)]
    lifetime = 0 if kept is None else int(kept * 1000)
    arguments: list[Argument] = [str(batch.number), str(REMEMBERED_MS), str(lifetime), str(len(batch.counts))]
    for name, amount in batch.counts.items():
        arguments += (name, str(amount))
    for digest, (name, amount) in batch.events.items():
        arguments += (digest, name, str(amount))
    return scripts.load("tenants/add_usage").operation(capabilities, keys, arguments, _refusal, replay_safe=True)


def _refusal(replies: list[Reply]) -> ResponseError | None:
    reply: Any = replies[0]
    if isinstance(reply, ResponseError):
        return reply
    if only(replies):
        logger.error("Some of a tenant's usage is lost: what is stored under its names is no number.")
    return None


def _joined(operations: Sequence[Operation[Any]]) -> Operation[Any]:
    """Return the operation that runs these in one round trip, and in another those that have not ended by then."""
    commands = [command for operation in operations for command in operation.commands]

    def parse(replies: list[Reply]) -> Any:
        results = [operation.parse([reply]) for operation, reply in zip(operations, replies, strict=True)]
        following = [result for result in results if isinstance(result, Operation)]
        return then(_joined(following), lambda ended: _merged(results, ended)) if following else results

    return Operation(commands, parse, replay_safe=True)


def _merged(results: Sequence[Any], ended: Sequence[Any]) -> list[Any]:
    later = iter(ended)
    return [next(later) if isinstance(result, Operation) else result for result in results]
