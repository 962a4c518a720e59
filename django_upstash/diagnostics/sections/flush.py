"""``redis_health flush``: remove all that one feature of this site has stored, and nothing else."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django_upstash.diagnostics.flushing import Count, count, remove, target
from django_upstash.diagnostics.formatting import counted
from django_upstash.diagnostics.sections.confirmation import add_confirmation, check_confirmation, confirmed_words
from django_upstash.diagnostics.sections.section import (
    Looking,
    Options,
    Output,
    Section,
    SectionOutcome,
    UsageError,
    add_output,
    looking_by,
    one_alias,
)
from django_upstash.exceptions import UpstashError
from django_upstash.features import FlushTarget
from django_upstash.settings import conf
from django_upstash.settings.conf import ConnectionSettings


class FlushSection(Section):
    """Shows how many keys a feature has, and removes them on request."""

    name = "flush"
    help = (
        "Show how many keys a cache, the sessions or another feature has, and remove them with --yes. Other features' "
        "and other projects' keys in the same database stay."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("feature", help="cache, cache:ALIAS, sessions, limits and so on; a wrong word lists all")
        add("--alias", help="the connection of limits and what else has none of its own; `default`, or the only one")
        add_confirmation(parser)
        add("--limit", type=int, default=100_000, metavar="N", help="count about so many; 100000")
        add_output(parser)

    def run(self, options: Options, output: Output) -> SectionOutcome:
        _check(options)
        found = _target(options)
        with looking_by(_settings(found, options), options, output) as looking:
            if options["yes"]:
                _remove(looking, found, options, output)
            else:
                _preview(looking, found, options["limit"])
        return looking.outcome


def _check(options: Options) -> None:
    if options["limit"] < 1:
        raise UsageError("--limit must be from 1.")
    check_confirmation(options)


def _target(options: Options) -> FlushTarget:
    feature = options["feature"]
    try:
        return target(feature)
    except LookupError as error:
        raise UsageError(str(error.args[0])) from error


def _settings(found: FlushTarget, options: Options) -> ConnectionSettings:
    return found.settings() if found.settings else conf.connection_settings(one_alias(options["alias"]))


def _preview(looking: Looking, found: FlushTarget, limit: int) -> None:
    counts = count(looking.connection, found, limit)
    looking.show(_document(found, counts, removed=None), _preview_lines(looking, found, counts))


def _preview_lines(looking: Looking, found: FlushTarget, counts: Count) -> Iterator[str]:
    more = "" if counts.is_complete else " or more"
    yield f"{counted(counts.keys, 'key')}{more} of {found.name} on {looking.alias} ({looking.cost}):"
    yield from (f"  {kind.pattern}" for kind in found.kinds())
    if counts.keys:
        yield "Nothing was removed: add --yes to remove these."


def _remove(looking: Looking, found: FlushTarget, options: Options, output: Output) -> None:
    reached = 0, str(options["cursor"])

    def progress(removed: int, place: str) -> None:
        nonlocal reached
        reached = removed, place
        output.progress(f"{counted(removed, 'key')} removed …")

    try:
        removed = remove(looking.connection, found, str(options["cursor"]), progress)
    except (UpstashError, KeyboardInterrupt):
        output.progress("")
        if not options["json"]:
            so_far = f"Removed {counted(reached[0], 'key')} of {found.name} so far."
            output.lines([f"{so_far} {_continuation(options, reached[1])}"])
        raise
    line = f"Removed {counted(removed, 'key')} of {found.name} on {looking.alias} ({looking.cost})."
    looking.show(_document(found, None, removed=removed), [line])


def _continuation(options: Options, place: str) -> str:
    words = ["redis_health", FlushSection.name, options["feature"], *confirmed_words(options)]
    words += ["--alias", options["alias"]] if options["alias"] else []
    return f"Continue with: python manage.py {shlex.join([*words, '--cursor', place])}"


def _document(found: FlushTarget, counts: Count | None, removed: int | None) -> dict[str, Any]:
    return {
        "feature": found.name,
        "patterns": [kind.pattern for kind in found.kinds()],
        "keys": None if counts is None else counts.keys,
        "is_complete": None if counts is None else counts.is_complete,
        "removed": removed,
    }
