"""Writing the statistics that no decision has carried: at the ends of requests, of tasks, and of the process."""

from __future__ import annotations

from typing import Any

from django_upstash import flushing
from django_upstash.connections import Connection
from django_upstash.exceptions import UpstashError
from django_upstash.log import get_logger
from django_upstash.operations import Operation
from django_upstash.ratelimit.overrides import with_time
from django_upstash.ratelimit.process_state import Memory, memories

logger = get_logger("django_upstash.ratelimit")


def watch() -> None:
    """Have this process write its statistics at those ends, too."""
    flushing.register(_COUNTED)


def writing(connection: Connection, memory: Memory, tenant: str) -> Operation[Any]:
    """Return the operation that writes what has been counted of a tenant."""
    return with_time(memory.clock, lambda now: memory.tallies.writing(tenant, connection.capabilities, now))


def _write_due() -> None:
    _write(overdue=True)


def _write_all() -> None:
    _write(overdue=False)


def _write(*, overdue: bool) -> None:
    for connection, memory in memories():
        tenants = memory.tallies.tenants(overdue=overdue)
        if not tenants or not connection.availability.may_ask():
            continue
        try:
            for tenant in tenants:
                connection.run(writing(connection, memory, tenant))
        except UpstashError as error:
            # They must not break a request.
            logger.info("Statistics of rate limits are lost, for they cannot be written: %s", error)


_COUNTED = flushing.Counted(_write_due, _write_all)
