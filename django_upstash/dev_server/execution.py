"""Runs clients' commands on the backend, alone, in a pipeline or as a transaction, and keeps the accounts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import repeat

from django_upstash.dev_server import commands
from django_upstash.dev_server.backend import Backend, Exchange
from django_upstash.dev_server.dialect import EXEC, MULTI, CommandCall, Dialect, Framed
from django_upstash.dev_server.encoding import Command, RequestError, frames
from django_upstash.dev_server.http import LARGEST_BODY
from django_upstash.dev_server.meter import ServerMeter

LARGEST_REPLY = LARGEST_BODY
_LACKING = re.compile(r"ERR unknown command ['`]([\w.|-]+)['`]")


class Executor:
    """Takes the commands of a request, errors in place of what cannot be a command, and returns a reply for each."""

    def __init__(self, backend: Backend, dialect: Dialect, meter: ServerMeter) -> None:
        self._backend = backend
        self._dialect = dialect
        self._meter = meter
        self._writes = 0

    @property
    def sync_token(self) -> str:
        """The state of the data as this server has seen it change."""
        return str(self._writes)

    async def run(
        self, given: Sequence[Command | RequestError], *, read_only: bool, framed: bool = False
    ) -> list[Framed]:
        """Run the commands in order; errors are in their slots. ``framed`` keeps the RESP2 bytes of each reply."""
        calls = [await self._plan(command, read_only) for command in given]
        exchange = await self._exchange([command for call in calls for command in call.alone()], framed)
        replies = zip(
            exchange.replies, frames(exchange.raw) if exchange.raw is not None else repeat(None), strict=False
        )
        answers = [call.read_alone(replies) for call in calls]
        self._account(calls)
        return self._checked(answers, exchange.size - sum(call.own_bytes for call in calls))

    async def run_atomic(self, given: Sequence[Command | RequestError], *, read_only: bool) -> list[Framed]:
        """Run the commands as one transaction; raise ``RequestError`` where it is discarded, and then none has run."""
        calls = [await self._plan(command, read_only) for command in given]
        for call in calls:
            if call.refused:
                raise call.reply
        inside = [command for call in calls for command in call.within()]
        exchange = await self._exchange([MULTI, *inside, EXEC])
        for reply in exchange.replies:  # the first refusal says more than the EXECABORT that follows
            if isinstance(reply, Exception):
                raise _refused(reply)
        results = zip(exchange.replies[-1], repeat(None), strict=False)
        answers = [call.read_within(results) for call in calls]
        self._account(calls, "MULTI", "EXEC")
        return self._checked(answers, exchange.size - sum(call.own_bytes for call in calls))

    def account_for(self, name: str) -> None:
        """Bill a command that was run elsewhere."""
        self._meter.ran([name])

    async def _plan(self, command: Command | RequestError, read_only: bool) -> CommandCall:
        if isinstance(command, RequestError):
            return CommandCall("", reply=command)
        call = self._dialect.call(command, read_only=read_only)
        if call.compile is not None:
            # In its own text, so that what is wrong with it is said in terms of that.
            exchange = await self._exchange([[b"SCRIPT", b"LOAD", call.compile.plain]])
            if isinstance(exchange.replies[0], Exception):
                return CommandCall(call.name, reply=_refused(exchange.replies[0]))
            self._dialect.scripts.add(call.compile)
        return call

    async def _exchange(self, sent: list[Command], framed: bool = False) -> Exchange:
        if not sent:
            return Exchange([], 0, b"" if framed else None)
        return await self._backend.exchange(sent, raw=framed)

    def _account(self, calls: Iterable[CommandCall], *around: str) -> None:
        names = [name for call in calls for name in call.billed]
        self._meter.ran([*around, *names])
        if not commands.WRITES.isdisjoint(names):
            self._writes += 1

    def _checked(self, answers: list[Framed], size: int) -> list[Framed]:
        if size > LARGEST_REPLY:
            raise RequestError(commands.size_refusal(size, LARGEST_REPLY))
        return [(_refused(reply), None) if isinstance(reply, Exception) else (reply, frame) for reply, frame in answers]


def _refused(error: Exception) -> RequestError:
    lacking = _LACKING.match(str(error))
    if lacking is None:
        return RequestError(commands.error_text(str(error)))
    # Commands that Upstash does not have are not sent, so it is the Redis that lacks this one.
    return RequestError(commands.lacking(lacking[0], lacking[1]))
