"""``redis_health flush``: remove all that one feature of this site has stored, and nothing else."""

from __future__ import annotations

import re
import shlex
from argparse import ArgumentParser
from typing import Any

from django_upstash import conf
from django_upstash.exceptions import UpstashError
from django_upstash.inspection.flushing import Count, Target, count, remove, target
from django_upstash.inspection.report import SCHEMA, Status
from django_upstash.inspection.sections.base import (
    Looking,
    Options,
    Outcome,
    Output,
    Section,
    UsageError,
    looking_by,
    one_alias,
)
from django_upstash.inspection.wording import counted
from django_upstash.sweeps import START

_PLACE = re.compile(r"(\d{1,3}/)?\d{1,20}")


class FlushSection(Section):
    """Shows how many keys a feature has, and removes them where it is told so."""

    name = "flush"
    help = (
        "Show how many keys a cache, the sessions or another feature has, and remove them with --yes. Other features' "
        "and other projects' keys in the same database stay."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("feature", help="cache, cache:ALIAS, sessions, limits and so on; a wrong word lists all")
        add("--alias", help="the connection of limits and what else has none of its own; `default`, or the only one")
        add("--yes", action="store_true", help="remove them")
        add("--force", action="store_true", help="with --yes: also where DEBUG is off")
        add("--cursor", default=START, metavar="CURSOR", help="with --yes: continue where an earlier run stopped")
        add("--limit", type=int, default=100_000, metavar="N", help="count about so many; 100000")
        add("--json", action="store_true", help="print one JSON object")
        add("--timeout", type=float, default=2.0, metavar="SECONDS", help="of each request; 2")

    def run(self, options: Options, output: Output) -> Outcome:
        _check(options)
        found = _target(options)
        with looking_by(found.settings, options, output) as looking:
            if options["yes"]:
                _remove(looking, found, options, output)
            else:
                _preview(looking, found, options, output)
        return looking.outcome


def _check(options: Options) -> None:
    if options["limit"] < 1:
        raise UsageError("--limit must be from 1.")
    if not _PLACE.fullmatch(str(options["cursor"])):
        raise UsageError("--cursor must be what an earlier run has printed.")
    if not options["yes"]:
        if options["force"] or str(options["cursor"]) != START:
            raise UsageError("--force and --cursor go with --yes.")
    elif not (options["force"] or conf.setting("DEBUG")):
        raise UsageError("DEBUG is off, so this may be production, and nothing was removed: add --force to remove.")


def _target(options: Options) -> Target:
    feature = options["feature"]
    try:
        return target(feature, lambda: one_alias(options["alias"]))
    except LookupError as error:
        raise UsageError(str(error.args[0])) from error


def _preview(looking: Looking, found: Target, options: Options, output: Output) -> None:
    counts = count(looking.connection, found, options["limit"])
    if options["json"]:
        output.json(_document(looking, found, counts, removed=None))
        return
    more = "" if counts.is_complete else " or more"
    output.lines([f"{counted(counts.keys, 'key')}{more} of {found.name} on {found.settings.alias} ({_cost(looking)}):"])
    output.lines(f"  {kind.pattern}" for kind in found.kinds)
    if counts.keys:
        output.lines(["Nothing was removed: add --yes to remove these."])


def _remove(looking: Looking, found: Target, options: Options, output: Output) -> None:
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
    output.progress("")
    if options["json"]:
        output.json(_document(looking, found, None, removed=removed))
    else:
        where = f"{found.name} on {found.settings.alias} ({_cost(looking)})"
        output.lines([f"Removed {counted(removed, 'key')} of {where}."])


def _continuation(options: Options, place: str) -> str:
    words = ["redis_health", FlushSection.name, options["feature"], "--yes"]
    words += ["--force"] if options["force"] else []
    words += ["--alias", options["alias"]] if options["alias"] else []
    return f"Continue with: python manage.py {shlex.join([*words, '--cursor', place])}"


def _cost(looking: Looking) -> str:
    meter = looking.connection.meter
    return f"{counted(meter.requests, 'request')}, {counted(meter.commands, 'command')}"


def _document(looking: Looking, found: Target, counts: Count | None, removed: int | None) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "status": Status.OK,
        "alias": found.settings.alias,
        "feature": found.name,
        "patterns": [kind.pattern for kind in found.kinds],
        "keys": None if counts is None else counts.keys,
        "is_complete": None if counts is None else counts.is_complete,
        "removed": removed,
        "requests": looking.connection.meter.requests,
        "commands": looking.connection.meter.commands,
    }
