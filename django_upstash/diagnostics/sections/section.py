"""What a section is, and what it writes to."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from django_upstash.connections import Connection
from django_upstash.diagnostics.diagnosis import diagnose
from django_upstash.diagnostics.eviction import warning
from django_upstash.diagnostics.formatting import counted
from django_upstash.diagnostics.health_check import limited
from django_upstash.diagnostics.probe import HealthPlan
from django_upstash.diagnostics.report import SCHEMA, Status
from django_upstash.diagnostics.survey import Extent
from django_upstash.exceptions import UpstashError
from django_upstash.settings import conf
from django_upstash.settings.conf import ConnectionSettings

Options = Mapping[str, Any]
HEALTHY, UNHEALTHY, UNUSABLE = 0, 1, 2
_CLEAR_LINE = "\r\x1b[K"


class Writable(Protocol):
    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...


class UsageError(Exception):
    """An argument that makes no sense; the text is one sentence for the user."""


@dataclass(frozen=True)
class SectionOutcome:
    """How a section ended: the exit code, and a sentence where it is not 0."""

    returncode: int = HEALTHY
    message: str = ""


class Section(ABC):
    """One part of the command, under the word ``name``."""

    name: ClassVar[str]
    help: ClassVar[str]

    @abstractmethod
    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""

    @abstractmethod
    def run(self, options: Options, output: Output) -> SectionOutcome:
        """Do what the arguments ask for; raise ``UsageError`` for what makes no sense."""


class Output:
    """
    Where a section writes: its data to ``stdout``, and while it works how far it is to ``progress``.

    ``progress`` is None where nobody watches; what it is given replaces what stood there before.
    """

    def __init__(
        self,
        stdout: Writable,
        styles: Mapping[Status, Callable[[str], str]],
        progress: Callable[[str], object] | None = None,
    ) -> None:
        self._stdout = stdout
        self._styles = styles
        self._progress = progress
        self._encoding: str = getattr(stdout, "encoding", None) or "utf-8"

    def lines(self, lines: Iterable[str]) -> None:
        for line in lines:
            # A terminal that lacks a character shows its escape, and the command goes on.
            self._stdout.write(line.encode(self._encoding, "backslashreplace").decode(self._encoding) + "\n")
        self._stdout.flush()

    def json(self, document: Mapping[str, Any]) -> None:
        """Write one object on one line, in ASCII."""
        self.lines([json.dumps(document)])

    def styled(self, status: Status, text: str) -> str:
        return self._styles[status](text)

    def warn(self, text: str | None) -> None:
        """Write a warning below what a section shows; nothing if there is none."""
        if text is not None:
            self.lines([self.styled(Status.WARN, f"  ! {text}")])

    def progress(self, text: str) -> None:
        """Show how far the work is, in place of what was shown before; nothing, at its end."""
        if self._progress is not None:
            self._progress(f"{_CLEAR_LINE}{text}")


def check_aliases(named: list[str]) -> list[str]:
    """Return the named connections, all of them where none is named; raise ``UsageError`` where that is nothing."""
    known = conf.aliases()
    if not known:
        raise UsageError(
            "UPSTASH names no connection (nor does it where REDIS_ENABLE is false): there is nothing to look at."
        )
    for alias in named:
        if alias not in known:
            raise UsageError(f"UPSTASH has no connection {alias!r}; it has {', '.join(map(repr, known))}.")
    return list(dict.fromkeys(named)) or known


def one_alias(named: str | None) -> str:
    """Return the named connection, or ``default``, or the only one there is."""
    known = check_aliases([named] if named else [])
    if named or len(known) == 1:
        return known[0]
    if conf.DEFAULT_ALIAS in known:
        return conf.DEFAULT_ALIAS
    raise UsageError(f"Name one connection: UPSTASH has {', '.join(map(repr, known))} and none called 'default'.")


class Looking:
    """A look at one database, or at several that a feature uses: what it costs, what it shows, how it ends."""

    def __init__(self, settings: ConnectionSettings, output: Output, *, timeout: float, as_json: bool) -> None:
        self._timeout = timeout
        self._output = output
        self._as_json = as_json
        self._opened: list[Connection] = []
        self.outcome = SectionOutcome()
        self.connection = self.open(settings)

    def open(self, settings: ConnectionSettings) -> Connection:
        """Return a connection whose requests end in time, and which is closed after the look."""
        self._opened.append(Connection(limited(settings, self._timeout)))
        return self._opened[-1]

    def close(self) -> None:
        """Close all connections."""
        for connection in self._opened:
            connection.close()

    @property
    def alias(self) -> str:
        """The alias of the database."""
        return self.connection.settings.alias

    @property
    def requests(self) -> int:
        """How many requests have been sent so far."""
        return sum(connection.meter.requests for connection in self._opened)

    @property
    def commands(self) -> int:
        """How many commands have been sent so far."""
        return sum(connection.meter.commands for connection in self._opened)

    @property
    def cost(self) -> str:
        """What has been sent so far, in words."""
        return f"{counted(self.requests, 'request')}, {counted(self.commands, 'command')}"

    def say(self, progress: str) -> None:
        """Show how far the work is, until there is something to show."""
        self._output.progress(progress)

    def progress(self, count: int, noun: str) -> None:
        """Show how many have been found so far."""
        self.say(f"{counted(count, noun)} …")

    def show(
        self, found: Mapping[str, Any], lines: Iterable[str], warnings: Iterable[str] = (), *, feature: str = ""
    ) -> None:
        """
        Write what was found: as one JSON object, or as lines, and the warnings below them.

        With the name of a ``feature``, one of the warnings is that the database may evict its keys.
        """
        self._output.progress("")
        if self._as_json:
            # What a section has found may be requests and commands of its own.
            document = {**self._frame(Status.OK), "requests": self.requests, "commands": self.commands, **found}
            told = self._all_warnings(warnings, feature)
            self._output.json(document | ({"status": Status.WARN, "warnings": told} if told else {"warnings": []}))
        else:
            self._output.lines(lines)
            for text in self._all_warnings(warnings, feature):
                self._output.warn(text)

    def fail(self, cause: str, next_step: str = "") -> None:
        """Let the section end as unhealthy; where it speaks JSON, say so there too."""
        self.outcome = SectionOutcome(UNHEALTHY, f"{cause} {next_step}".rstrip())
        if self._as_json:
            self._output.json(self._frame(Status.FAIL) | {"message": cause, "next_step": next_step})

    def _frame(self, status: Status) -> dict[str, Any]:
        return {"schema": SCHEMA, "status": status, "alias": self.alias}

    def _all_warnings(self, warnings: Iterable[str], feature: str) -> list[str]:
        evicted = warning(self.connection, feature) if feature else None
        return [*warnings, *([] if evicted is None else [evicted])]


@contextmanager
def looking_at(alias: str, options: Options, output: Output) -> Iterator[Looking]:
    """
    Open a connection whose requests end after ``--timeout``; what it raises becomes the outcome.

    Raises ``UsageError`` for a time limit that makes no sense.
    """
    with looking_by(conf.connection_settings(alias), options, output) as looking:
        yield looking


@contextmanager
def looking_by(settings: ConnectionSettings, options: Options, output: Output) -> Iterator[Looking]:
    """Like ``looking_at``, with a connection of these settings, which need not be one of ``UPSTASH``."""
    looking = Looking(settings, output, timeout=_timeout(options), as_json=options["json"])
    try:
        yield looking
    except (UpstashError, OSError) as error:
        diagnosis = diagnose(error, looking.connection.settings)
        looking.fail(f"{looking.alias}: {diagnosis.cause}", diagnosis.next_step)
    finally:
        output.progress("")
        looking.close()


def add_extent(parser: ArgumentParser, *, sample: int, looks: str) -> None:
    """Declare how many keys to count, and how many to look at; ``looks`` says how, before the number."""
    parser.add_argument("--limit", type=int, default=100_000, metavar="N", help="count about so many; 100000")
    parser.add_argument("--sample", type=int, default=sample, metavar="N", help=f"{looks} so many; {sample}")


def extent_of(options: Options) -> Extent:
    """Return how many keys to count and to look at; raise ``UsageError`` for numbers that make no sense."""
    try:
        return Extent(options["limit"], options["sample"])
    except ValueError as error:
        raise UsageError(str(error)) from error


def add_output(parser: ArgumentParser) -> None:
    """Declare the arguments of every section that looks at a database."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--timeout", type=float, default=2.0, metavar="SECONDS", help="of each request; 2")


class DatabaseSection(Section):
    """A section that looks at one connection: the one that is named, or else the one of its feature."""

    without_alias: ClassVar[str] = "`default`, or the only one"  # which one it is where none is named, in words

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("alias", nargs="?", help=f"a connection of UPSTASH; {self.without_alias}")
        self.add_own_arguments(parser)
        add_output(parser)

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments that other sections do not have."""

    def alias(self) -> str | None:
        """Return the alias that the feature's settings name, if any."""
        return None

    def check(self, options: Options) -> None:
        """Raise ``UsageError`` for what makes no sense, before anything is asked."""

    @abstractmethod
    def look(self, looking: Looking, options: Options) -> None:
        """Ask the server, and show what was found."""

    def run(self, options: Options, output: Output) -> SectionOutcome:
        self.check(options)
        with looking_at(one_alias(options["alias"] or self.alias()), options, output) as looking:
            self.look(looking, options)
        return looking.outcome


def _timeout(options: Options) -> float:
    try:
        return HealthPlan(timeout=options["timeout"]).timeout
    except ValueError as error:
        raise UsageError(str(error)) from error
