"""The operations that rule while the site is running, for all its processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django_upstash.operations import Command, Operation, Reply, checked
from django_upstash.ratelimit.clock import ServerClock
from django_upstash.ratelimit.process_state import Memory
from django_upstash.ratelimit.rates import check_limit
from django_upstash.ratelimit.rules import ALLOW, BLOCK, NOTE, RuleBook, Rules, limit_field, listing_field, until

if TYPE_CHECKING:
    from django_upstash.ratelimit.limiter_base import LimiterBase


def set_limit(limiter: LimiterBase, scope: str, limit: int | None, identity: str | None = None) -> Operation[None]:
    """
    Give a scope, or one identity in it, another limit in all processes within five seconds; None takes it back.

    The period stays. Raises ``ValueError`` for a scope the limiter does not have, and for an invalid limit.
    """
    limiter.check_scope(scope)
    field = limit_field(scope, identity)
    book = limiter.rule_book
    if limit is None:
        return changing(book, ("HDEL", book.key, field))
    for policy in limiter.policies:
        if policy.scope == scope:
            policy.limited_to(check_limit(limit))
    return changing(book, ("HSET", book.key, field, str(limit)))


def block(limiter: LimiterBase, identity: str, seconds: float | None = None) -> Operation[None]:
    """Refuse an identity, an address or a network such as 203.0.113.0/24, for so many seconds or until unblocked."""
    return _listing(limiter, BLOCK, identity, seconds)


def unblock(limiter: LimiterBase, identity: str) -> Operation[None]:
    """Take an identity off the list of those to be refused."""
    fields = [listing_field(word, identity) for word in (BLOCK, NOTE)]
    return changing(limiter.rule_book, ("HDEL", limiter.rule_book.key, *fields))


def allow(limiter: LimiterBase, identity: str, seconds: float | None = None) -> Operation[None]:
    """Let an identity, an address or a network pass whatever the limits, blocked or not; nothing of it is counted."""
    return _listing(limiter, ALLOW, identity, seconds)


def disallow(limiter: LimiterBase, identity: str) -> Operation[None]:
    """Take an identity off the list of those to be let pass."""
    return changing(limiter.rule_book, ("HDEL", limiter.rule_book.key, listing_field(ALLOW, identity)))


def rules(limiter: LimiterBase) -> Operation[Rules]:
    """Return what is ruled at this time."""
    book = limiter.rule_book

    def parse(replies: list[Reply]) -> Rules:
        book.take(checked(replies)[0])
        return book.rules

    return Operation((book.reading,), parse)


def with_time(clock: ServerClock, follow: Callable[[int], Any]) -> Operation[Any]:
    """Return the operation that ``follow`` makes of the server's time, in microseconds."""
    if clock.is_known:
        result = follow(clock.now())
        return result if isinstance(result, Operation) else Operation((), lambda _: result)
    started = clock.started()

    def parse(replies: list[Reply]) -> Any:
        seconds, microseconds = checked(replies)[0]
        clock.sample(started, int(seconds), int(microseconds))
        return follow(clock.now())

    return Operation((("TIME",),), parse)


def listing(
    memory: Memory, book: RuleBook, fields: Sequence[str], seconds: float | None, notes: Mapping[str, str] | None = None
) -> Operation[None]:
    """Return the operation that puts fields on their lists for so many seconds, None for good, and writes notes."""
    noted = [part for pair in (notes or {}).items() for part in pair]

    def write(now: int) -> Operation[None]:
        kept = {*fields, *noted[::2]}
        stale = [name for name in book.stale_fields(now) if name not in kept]
        ends = until(now, seconds)
        cleaning: list[Command] = [("HDEL", book.key, *stale)] if stale else []
        listed = [part for name in fields for part in (name, ends)]
        return changing(book, ("HSET", book.key, *listed, *noted), *cleaning)

    return with_time(memory.clock, write)


def changing(book: RuleBook, *commands: Command) -> Operation[None]:
    """Return the operation that writes the rules; this process then reads them again."""

    def parse(replies: list[Reply]) -> None:
        checked(replies)
        book.expire()

    # Whether it is done once or twice, the fields then hold the same.
    return Operation(commands, parse, replay_safe=True)


def _listing(limiter: LimiterBase, word: str, identity: str, seconds: float | None) -> Operation[None]:
    return listing(limiter.server.memory, limiter.rule_book, [listing_field(word, identity)], seconds)
