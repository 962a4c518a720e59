"""What a section is, and what it writes to."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from django_upstash import conf
from django_upstash.conf import ConnectionSettings
from django_upstash.connections import Connection
from django_upstash.exceptions import UpstashError
from django_upstash.inspection.diagnosis import diagnose
from django_upstash.inspection.examination import limited
from django_upstash.inspection.health import Plan
from django_upstash.inspection.report import SCHEMA, Status

Options = Mapping[str, Any]
HEALTHY, UNHEALTHY, UNUSABLE = 0, 1, 2
_CLEAR_LINE = "\r\x1b[K"


class Writable(Protocol):
    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...


class UsageError(Exception):
    """An argument that makes no sense; the text is one sentence for the user."""


@dataclass(frozen=True)
class Outcome:
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
    def run(self, options: Options, output: Output) -> Outcome:
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
    """A look at one database, and how it ended."""

    def __init__(self, connection: Connection, output: Output, *, as_json: bool) -> None:
        self.connection = connection
        self.outcome = Outcome()
        self._output = output
        self._as_json = as_json

    def fail(self, cause: str, next_step: str = "") -> None:
        """Let the section end as unhealthy; where it speaks JSON, say so there too."""
        self.outcome = Outcome(UNHEALTHY, f"{cause} {next_step}".rstrip())
        if self._as_json:
            alias = self.connection.settings.alias
            document = {
                "schema": SCHEMA,
                "status": Status.FAIL,
                "alias": alias,
                "message": cause,
                "next_step": next_step,
            }
            self._output.json(document)


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
    """Do as ``looking_at`` does with a connection of these settings, which need not be one of ``UPSTASH``."""
    settings = limited(settings, _timeout(options))
    looking = Looking(Connection(settings), output, as_json=options["json"])
    try:
        yield looking
    except (UpstashError, OSError) as error:
        diagnosis = diagnose(error, settings)
        looking.fail(f"{settings.alias}: {diagnosis.cause}", diagnosis.next_step)
    finally:
        output.progress("")
        looking.connection.close()


def _timeout(options: Options) -> float:
    try:
        return Plan(timeout=options["timeout"]).timeout
    except ValueError as error:
        raise UsageError(str(error)) from error
