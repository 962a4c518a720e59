"""``redis_health idempotency``: the idempotency keys that this package keeps."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from functools import partial

from django_upstash.diagnostics.formatting import LONGEST_NAME, counted, escaped, shortened, table
from django_upstash.diagnostics.sections.section import DatabaseSection, Looking, Options, add_extent, extent_of
from django_upstash.idempotency.report import IdempotencySurvey, survey
from django_upstash.idempotency.settings import idempotency_settings


class IdempotencySection(DatabaseSection):
    """Shows how many keys there are, in which state, how long they have left, and how large they are."""

    name = "idempotency"
    help = "Show the idempotency keys: how many, in which state, their lifetimes and sizes."

    without_alias = "the one of UPSTASH_IDEMPOTENCY"

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", help="only this tenant's")
        add_extent(parser, sample=1000, looks="look closely at")

    def alias(self) -> str:
        return idempotency_settings().alias

    def check(self, options: Options) -> None:
        extent_of(options)

    def look(self, looking: Looking, options: Options) -> None:
        found = survey(looking.connection, options["tenant"], extent_of(options), partial(looking.progress, noun="key"))
        looking.show(found.as_json(), _lines(looking, found), _warnings(found), feature="idempotency keys")


def _warnings(found: IdempotencySurvey) -> Iterator[str]:
    yield from found.warnings("key")
    if found.states["foreign"]:
        yield f"{counted(found.states['foreign'], 'key')} of {found.measured} measured are none of this package's."


def _lines(looking: Looking, found: IdempotencySurvey) -> Iterator[str]:
    of_tenant = "" if found.tenant is None else f" of {shortened(escaped(found.tenant), LONGEST_NAME)}"
    yield f"{counted(found.count, 'key')}{found.more}{of_tenant} on {looking.alias} ({looking.cost})"
    yield from (f"  {line}" for line in table(_facts(found), left=2))


def _facts(found: IdempotencySurvey) -> Iterator[tuple[str, str]]:
    yield "measured", str(found.measured)
    yield "in progress", str(found.states["in_progress"])
    yield "done", str(found.states["done"])
    yield from found.spread_rows()
