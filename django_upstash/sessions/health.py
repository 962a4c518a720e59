"""``redis_health sessions``: the sessions that this package keeps."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from functools import partial

from django_upstash.diagnostics.formatting import LONGEST_NAME, counted, escaped, shortened, table
from django_upstash.diagnostics.sections.section import DatabaseSection, Looking, Options, add_extent, extent_of
from django_upstash.operations.keys import root
from django_upstash.sessions.report import SessionSurvey, survey
from django_upstash.sessions.settings import session_settings


class SessionsSection(DatabaseSection):
    """Shows how many sessions there are, how long they have left, and whether the database may drop them."""

    name = "sessions"
    help = "Show the sessions: how many, their lifetimes and sizes, and whether the database may evict them."

    without_alias = "the one of UPSTASH_SESSIONS"

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--prefix", help="what their keys begin with; PREFIX of UPSTASH_SESSIONS")
        add_extent(parser, sample=100, looks="ask for lifetime and size of")

    def alias(self) -> str:
        return session_settings().alias

    def check(self, options: Options) -> None:
        extent_of(options)

    def look(self, looking: Looking, options: Options) -> None:
        prefix = root(options["prefix"] or session_settings().prefix)
        found = survey(looking.connection, prefix, extent_of(options), partial(looking.progress, noun="session"))
        looking.show(found.as_json(), _lines(looking, found), _warnings(found))


def _warnings(found: SessionSurvey) -> Iterator[str]:
    if found.evicts:
        yield (
            f"The database evicts keys when it is full ({found.eviction}), sessions among them: turn eviction off, or "
            "give sessions a database of their own with ALIAS of UPSTASH_SESSIONS."
        )
    if found.evicts and session_settings().keeps_index:
        yield (
            "Indexes of users may have gone: log_out_everywhere() looks at all sessions for that, and sessions_for() "
            "may lack some."
        )
    yield from found.warnings("session")


def _lines(looking: Looking, found: SessionSurvey) -> Iterator[str]:
    where = f"{shortened(escaped(found.prefix), LONGEST_NAME)}:* on {looking.alias}"
    yield f"{counted(found.count, 'session')}{found.more} {where} ({looking.cost})"
    yield from (f"  {line}" for line in table(_facts(found), left=2))


def _facts(found: SessionSurvey) -> Iterator[tuple[str, str]]:
    yield "measured", str(found.measured)
    yield from found.spread_rows()
    yield "without TTL", str(found.without_ttl)
    yield "eviction", found.eviction or "not told"
