"""``manage.py redis_health``: whether the connections work, and what their databases hold."""

from __future__ import annotations

from collections.abc import Iterable
from io import StringIO
from typing import Any, NoReturn

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper
from django.utils.module_loading import import_string

from django_upstash.diagnostics.formatting import escaped, shortened
from django_upstash.diagnostics.report import Status
from django_upstash.diagnostics.sections.flush import FlushSection
from django_upstash.diagnostics.sections.key import KeySection
from django_upstash.diagnostics.sections.keys import KeysSection
from django_upstash.diagnostics.sections.overview import Overview
from django_upstash.diagnostics.sections.section import HEALTHY, UNUSABLE, Output, Section, SectionOutcome, UsageError
from django_upstash.features import features
from django_upstash.settings import conf

_LONGEST_MESSAGE = 1000


def sections() -> dict[str, Section]:
    """Return the sections by the word that calls each; the overview has none."""
    found: list[Section] = [Overview(is_deployed=not conf.embedded_allowed()), KeysSection(), KeySection()]
    found += [import_string(path)() for feature in features() for path in feature.sections]
    found.append(FlushSection())
    return {section.name: section for section in found}


class SectionParser(CommandParser):
    """Django's parser, giving wrong usage its exit code for callers in Python too."""

    def error(self, message: str) -> NoReturn:
        message = _sentence(message)
        if not self.called_from_command_line:
            raise CommandError(f"{message[:1].upper()}{message[1:]}.", returncode=UNUSABLE)
        super().error(message)
        raise AssertionError("unreachable")


class Parser(SectionParser):
    """Hands all arguments to the section whose word comes first, or to the overview."""

    parsers: dict[str, SectionParser]

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.parsers[found.section].error(f"unrecognized arguments: {' '.join(unknown)}")
        return found

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        given = list(args or ())
        if not given or given[0] not in self.parsers:
            given.insert(0, Overview.name)
        return super().parse_known_args(given, namespace)


class Command(BaseCommand):
    help = Overview.help
    requires_system_checks = ()  # wrong settings are for this command to explain

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        common = super().create_parser(prog_name, subcommand, **kwargs)
        shared: dict[str, Any] = {"parents": [common], "add_help": False, "formatter_class": common.formatter_class}
        line = common.called_from_command_line
        parser = Parser(prog=common.prog, called_from_command_line=line, **shared)
        choices = parser.add_subparsers(dest="section", parser_class=SectionParser)
        for word, section in sections().items():
            prog = f"{common.prog} {word}".rstrip()
            section.add_arguments(choices.add_parser(word, prog=prog, description=section.help, **shared))
        parser.parsers = choices.choices
        parser.parsers[Overview.name].epilog = _more_help(parser.parsers)
        self._accepted = {word: {action.dest for action in sub._actions} for word, sub in parser.parsers.items()}
        return parser

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verbosity"] == 0:
            self.stdout = self.stderr = OutputWrapper(StringIO())
        outcome = self._run(options)
        if outcome.returncode != HEALTHY:
            raise CommandError(_sentence(outcome.message), returncode=outcome.returncode)

    def _run(self, options: dict[str, Any]) -> SectionOutcome:
        self._refuse_foreign(options)
        try:
            return sections()[options["section"]].run(options, self._output())
        except (UsageError, ImproperlyConfigured) as error:
            raise CommandError(_sentence(str(error)), returncode=UNUSABLE) from error

    def _refuse_foreign(self, options: dict[str, Any]) -> None:
        """Refuse options of another section, which only callers in Python can give."""
        of_others = set().union(*self._accepted.values()) - self._accepted[options["section"]]
        if foreign := sorted(of_others & set(options)):
            raise CommandError(f"{', '.join(foreign)}: not for this part of the command.", returncode=UNUSABLE)

    def _output(self) -> Output:
        style = self.style
        styles = {Status.OK: style.SUCCESS, Status.WARN: style.WARNING, Status.FAIL: style.ERROR}
        return Output(self.stdout, styles, self._show_progress if self.stderr.isatty() else None)

    def _show_progress(self, text: str) -> None:
        self.stderr.write(text, str, ending="")
        self.stderr.flush()


def _sentence(text: str) -> str:
    """Return a message as a terminal may show it: what it quotes was typed by somebody."""
    return shortened("\n".join(map(escaped, text.split("\n"))), _LONGEST_MESSAGE)


def _more_help(words: Iterable[str]) -> str:
    ways = ", ".join(f"`redis_health {word} --help`" for word in words if word)
    return f"More: {ways}. A connection of such a name is written after --, as in `redis_health -- keys`."
