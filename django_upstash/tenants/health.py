"""``redis_health tenants``: which there are, what one of them has, and removing it after a preview."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence

from django_upstash.connections import Connection
from django_upstash.diagnostics.formatting import counted, escaped, size, table
from django_upstash.diagnostics.sections.confirmation import add_confirmation, check_confirmation, confirmed_words
from django_upstash.diagnostics.sections.section import (
    Looking,
    Options,
    Output,
    Section,
    SectionOutcome,
    UsageError,
    add_output,
    looking_at,
)
from django_upstash.exceptions import UpstashError
from django_upstash.operations.key_scan import START, Swept
from django_upstash.operations.steps import drive
from django_upstash.tenants import Measure, maintenance, stored_tenants
from django_upstash.tenants.batches import read
from django_upstash.tenants.snapshots import Snapshot, read_record
from django_upstash.tenants.tenant_keys import check_name, space
from django_upstash.tenants.usage import period_name


class TenantsSection(Section):
    """Lists the tenants, shows what is stored of one and what it has used, and removes it."""

    name = "tenants"
    help = "List the tenants of which anything is stored, show one, and remove all of one with --erase --yes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("tenant", nargs="?", help="show this one; all are listed without")
        add("--period", help="show the usage of this period, such as 202611; the current one")
        add("--erase", action="store_true", help="show what --yes would remove")
        add_confirmation(parser, action="--erase")
        add(
            "--limit",
            type=int,
            default=maintenance.LIMIT,
            metavar="N",
            help="look at about so many keys a kind; 100000",
        )
        add_output(parser)

    def run(self, options: Options, output: Output) -> SectionOutcome:
        _check(options)
        with looking_at(space().settings.alias, options, output) as looking:
            view = _View(looking, options, output)
            if options["tenant"] is None:
                view.list()
            elif options["yes"]:
                view.erase()
            else:
                view.show()
        return looking.outcome


def _check(options: Options) -> None:
    if options["limit"] < 1:
        raise UsageError("--limit must be from 1.")
    if options["erase"] and options["tenant"] is None:
        raise UsageError("--erase needs the name of a tenant.")
    check_confirmation(options, action="--erase")
    try:
        check_name(options["tenant"] or "any")
        period_name(space(), options["period"])
    except ValueError as error:
        raise UsageError(str(error)) from error


class _View:
    """One run of the section, on connections whose requests end in time."""

    def __init__(self, looking: Looking, options: Options, output: Output) -> None:
        self._looking = looking
        self._options = options
        self._output = output
        self._tenant: str = options["tenant"]
        self._opened = {space().connection: looking.connection}

    def list(self) -> None:
        names = stored_tenants(self._options["limit"], self._through)
        heading = f"{counted(len(names), 'tenant')} on {self._looking.alias} ({self._looking.cost})"
        self._looking.show({"tenants": names}, [heading, *(f"  {escaped(name)}" for name in names)], feature="tenants")

    def show(self) -> None:
        limit = self._options["limit"]
        measures = drive(maintenance.measure(self._tenant, limit, maintenance.SAMPLE, self._through))
        record = self._looking.connection.run(read_record(space().record(self._tenant)))
        period = period_name(space(), self._options["period"])
        usage = self._looking.connection.run(read(space(), self._tenant, period))
        stored = [vars(measure) for measure in measures]
        found = {"tenant": self._tenant, "stored": stored, "period": period, "usage": usage, **_names(record)}
        self._looking.show(found, self._lines(measures, record, period, usage), feature="tenants")

    def erase(self) -> None:
        reached = Swept(0, str(self._options["cursor"]))

        def progress(swept: Swept) -> None:
            nonlocal reached
            reached = swept
            self._output.progress(f"{counted(swept.removed, 'key')} removed …")

        cursor = str(self._options["cursor"])
        try:
            removed = drive(maintenance.erase(self._tenant, cursor, None, progress, self._through)).removed
        except (UpstashError, KeyboardInterrupt):
            self._output.progress("")
            if not self._options["json"]:
                self._output.lines([f"Removed {counted(reached.removed, 'key')} so far. {self._continuation(reached)}"])
            raise
        line = f"Removed {counted(removed, 'key')} of the tenant {escaped(self._tenant)} ({self._looking.cost})."
        self._looking.show({"tenant": self._tenant, "removed": removed}, [line])

    def _lines(
        self, measures: Sequence[Measure], record: Snapshot, period: str, usage: dict[str, int]
    ) -> Iterator[str]:
        yield f"{escaped(self._tenant)} on {self._looking.alias} ({self._looking.cost})"
        yield from (f"  {line}" for line in table([("STORED", "KEYS", "~BYTES"), *map(_row, measures)]))
        for kind, names in _names(record).items():
            yield f"  {kind}: {', '.join(map(escaped, names)) or 'none'}"
        used = ", ".join(f"{escaped(name)} {amount:,}" for name, amount in sorted(usage.items()))
        yield f"  usage {period}: {used or 'none'}"
        if self._options["erase"] and any(measure.keys for measure in measures):
            yield "Nothing was removed: add --yes to remove all of it."

    def _through(self, connection: Connection) -> Connection:
        """Return the connection that replaces one of the site's, whose requests may take longer."""
        if connection not in self._opened:
            self._opened[connection] = self._looking.open(connection.settings)
        return self._opened[connection]

    def _continuation(self, reached: Swept) -> str:
        words = ["redis_health", TenantsSection.name, self._tenant, "--erase", *confirmed_words(self._options)]
        return f"Continue with: python manage.py {shlex.join([*words, '--cursor', reached.cursor or START])}"


def _names(record: Snapshot) -> dict[str, list[str]]:
    # Values may be secrets.
    kinds = {"config": record.config, "flags": record.flags, "switches": record.switches, "samples": record.samples}
    return {kind: sorted(names) for kind, names in kinds.items()}


def _row(measure: Measure) -> tuple[str, ...]:
    more = "" if measure.is_complete else "+"
    return measure.name, f"{measure.keys:,}{more}", "not told" if measure.bytes is None else size(measure.bytes)
