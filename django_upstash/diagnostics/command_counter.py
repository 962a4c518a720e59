"""What a look at a database costs, counted by the one who looks."""

from __future__ import annotations

from typing import Any, TypeVar

from django_upstash.connections import Connection
from django_upstash.exceptions import ServerAwayError
from django_upstash.operations import Operation, Reply

Result = TypeVar("Result")


class Spending:
    """
    Runs operations on a connection and counts their requests and commands.

    The connection's own meter counts for all threads together. With ``is_automatic``, nobody waits for what is looked
    at: a server that did not answer a moment ago is left alone.
    """

    def __init__(self, connection: Connection, *, is_automatic: bool = False) -> None:
        self.connection = connection
        self.is_automatic = is_automatic
        self.requests = 0
        self.commands = 0

    def run(self, operation: Operation[Result]) -> Result:
        """Run an operation and return its result; raise ``ServerAwayError`` where the server is left alone."""
        if self.is_automatic and operation.commands and not self.connection.availability.may_ask():
            raise ServerAwayError()
        return self.connection.run(self._counted(operation))

    def _counted(self, operation: Operation[Result]) -> Operation[Result]:
        if not operation.commands:
            return operation

        def parse(replies: list[Reply]) -> Any:
            self.requests += 1
            self.commands += len(operation.commands)
            result = operation.parse(replies)
            return self._counted(result) if isinstance(result, Operation) else result

        return Operation(operation.commands, parse, atomic=operation.atomic, replay_safe=operation.replay_safe)
