"""``redis_health tenants``: which there are, what one of them has, and removing it after a preview."""

from __future__ import annotations

import re
import shlex
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any

from django_upstash import conf
from django_upstash.connections import Connection
from django_upstash.effects import drive
from django_upstash.exceptions import UpstashError
from django_upstash.inspection.examination import limited
from django_upstash.inspection.report import SCHEMA, Status
from django_upstash.inspection.sections.base import Looking, Options, Outcome, Output, Section, UsageError, looking_at
from django_upstash.inspection.wording import counted, escaped, size, table
from django_upstash.sweeps import START, Swept
from django_upstash.tenants import Measure, stored_tenants, upkeep
from django_upstash.tenants.batches import read
from django_upstash.tenants.snapshots import Snapshot, read_record
from django_upstash.tenants.space import check_name, space
from django_upstash.tenants.usage import period_name

_PLACE = re.compile(r"(\d{1,3}/)?\d{1,20}")


class TenantsSection(Section):
    """Lists the tenants, shows what is stored of one and what it has used, and removes it."""

    name = "tenants"
    help = "List the tenants of which anything is stored, show one, and remove all of one with --erase --yes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("tenant", nargs="?", help="show this one; all are listed without")
        add("--period", help="show the usage of this period, such as 202611; the current one")
        add("--erase", action="store_true", help="show what --yes would remove")
        add("--yes", action="store_true", help="with --erase: remove it")
        add("--force", action="store_true", help="with --yes: also where DEBUG is off")
        add("--cursor", default=START, metavar="CURSOR", help="with --yes: continue where an earlier run stopped")
        add("--limit", type=int, default=upkeep.LIMIT, metavar="N", help="look at about so many keys a kind; 100000")
        add("--json", action="store_true", help="print one JSON object")
        add("--timeout", type=float, default=2.0, metavar="SECONDS", help="of each request; 2")

    def run(self, options: Options, output: Output) -> Outcome:
        _check(options)
        with looking_at(space().settings.alias, options, output) as looking, ExitStack() as closing_all:
            view = _View(looking, options, output, closing_all)
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
    if not _PLACE.fullmatch(str(options["cursor"])):
        raise UsageError("--cursor must be what an earlier run has printed.")
    if options["erase"] and options["tenant"] is None:
        raise UsageError("--erase needs the name of a tenant.")
    if options["yes"] and not options["erase"]:
        raise UsageError("--yes goes with --erase.")
    if not options["yes"] and (options["force"] or str(options["cursor"]) != START):
        raise UsageError("--force and --cursor go with --yes.")
    if options["yes"] and not (options["force"] or conf.setting("DEBUG")):
        raise UsageError("DEBUG is off, so this may be production, and nothing was removed: add --force to remove.")
    try:
        check_name(options["tenant"] or "any")
        period_name(space(), options["period"])
    except ValueError as error:
        raise UsageError(str(error)) from error


class _View:
    """One run of the section, on connections whose requests end in time."""

    def __init__(self, looking: Looking, options: Options, output: Output, closing_all: ExitStack) -> None:
        self._options = options
        self._output = output
        self._tenant: str = options["tenant"]
        self._closing = closing_all
        self._connection = looking.connection
        self._opened = {space().connection: looking.connection}

    def list(self) -> None:
        names = stored_tenants(self._options["limit"], self._through)
        if self._options["json"]:
            self._output.json({**self._document(), "tenants": names})
            return
        self._output.lines([f"{counted(len(names), 'tenant')} on {self._connection.settings.alias} ({self._cost()})"])
        self._output.lines(f"  {escaped(name)}" for name in names)

    def show(self) -> None:
        limit = self._options["limit"]
        measures = drive(upkeep.measure(self._tenant, limit, upkeep.SAMPLE, self._through))
        record = self._connection.run(read_record(space().record(self._tenant)))
        period = period_name(space(), self._options["period"])
        usage = self._connection.run(read(space(), self._tenant, period))
        if self._options["json"]:
            stored = [vars(measure) for measure in measures]
            told = {"tenant": self._tenant, "stored": stored, "period": period, "usage": usage, **_names(record)}
            self._output.json({**self._document(), **told})
        else:
            self._output.lines(self._lines(measures, record, period, usage))

    def erase(self) -> None:
        reached = Swept(0, str(self._options["cursor"]))

        def progress(swept: Swept) -> None:
            nonlocal reached
            reached = swept
            self._output.progress(f"{counted(swept.removed, 'key')} removed …")

        cursor = str(self._options["cursor"])
        try:
            removed = drive(upkeep.erase(self._tenant, cursor, None, progress, self._through)).removed
        except (UpstashError, KeyboardInterrupt):
            self._output.progress("")
            if not self._options["json"]:
                self._output.lines([f"Removed {counted(reached.removed, 'key')} so far. {self._continuation(reached)}"])
            raise
        self._output.progress("")
        if self._options["json"]:
            self._output.json({**self._document(), "tenant": self._tenant, "removed": removed})
        else:
            name = escaped(self._tenant)
            self._output.lines([f"Removed {counted(removed, 'key')} of the tenant {name} ({self._cost()})."])

    def _lines(
        self, measures: Sequence[Measure], record: Snapshot, period: str, usage: dict[str, int]
    ) -> Iterator[str]:
        yield f"{escaped(self._tenant)} on {self._connection.settings.alias} ({self._cost()})"
        yield from (f"  {line}" for line in table([("STORED", "KEYS", "~BYTES"), *map(_row, measures)]))
        for kind, names in _names(record).items():
            yield f"  {kind}: {', '.join(map(escaped, names)) or 'none'}"
        used = ", ".join(f"{escaped(name)} {amount:,}" for name, amount in sorted(usage.items()))
        yield f"  usage {period}: {used or 'none'}"
        if self._options["erase"] and any(measure.keys for measure in measures):
            yield "Nothing was removed: add --yes to remove all of it."

    def _through(self, connection: Connection) -> Connection:
        """Return the connection that stands for one of the site's, whose requests may take longer."""
        if connection not in self._opened:
            opened = Connection(limited(connection.settings, self._options["timeout"]))
            self._opened[connection] = self._closing.enter_context(closing(opened))
        return self._opened[connection]

    def _continuation(self, reached: Swept) -> str:
        words = ["redis_health", TenantsSection.name, self._tenant, "--erase", "--yes"]
        words += ["--force"] if self._options["force"] else []
        return f"Continue with: python manage.py {shlex.join([*words, '--cursor', reached.cursor or START])}"

    def _cost(self) -> str:
        requests, commands = self._spent()
        return f"{counted(requests, 'request')}, {counted(commands, 'command')}"

    def _document(self) -> dict[str, Any]:
        requests, commands = self._spent()
        alias = self._connection.settings.alias
        return {"schema": SCHEMA, "status": Status.OK, "alias": alias, "requests": requests, "commands": commands}

    def _spent(self) -> tuple[int, int]:
        meters = [connection.meter for connection in self._opened.values()]
        return sum(meter.requests for meter in meters), sum(meter.commands for meter in meters)


def _names(record: Snapshot) -> dict[str, list[str]]:
    # Values may be secrets.
    kinds = {"config": record.config, "flags": record.flags, "switches": record.switches, "samples": record.samples}
    return {kind: sorted(names) for kind, names in kinds.items()}


def _row(measure: Measure) -> tuple[str, ...]:
    more = "" if measure.is_complete else "+"
    return measure.name, f"{measure.keys:,}{more}", "not told" if measure.bytes is None else size(measure.bytes)
