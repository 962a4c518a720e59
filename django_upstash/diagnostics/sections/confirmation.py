"""How whatever removes something is confirmed: ``--yes``, and ``--force`` as well where ``DEBUG`` is off."""

from __future__ import annotations

import re
from argparse import SUPPRESS, ArgumentParser

from django_upstash.diagnostics.sections.section import Options, UsageError
from django_upstash.operations.key_scan import START
from django_upstash.settings import conf

_PLACE = re.compile(r"(\d{1,3}/)?\d{1,20}")


def add_confirmation(parser: ArgumentParser, *, action: str = "", continues: bool = True) -> None:
    """Declare the arguments; ``action`` is the option that says what to do, where the section shows without it."""
    beside = f"with {action}: " if action else ""
    parser.add_argument("--yes", action="store_true", help=f"{beside}remove it, not only show it")
    parser.add_argument("--force", action="store_true", help="with --yes: also where DEBUG is off")
    parser.add_argument("--confirm", action="store_true", help=SUPPRESS)  # as an earlier version called it
    if continues:
        add, words = parser.add_argument, "with --yes: continue where an earlier run stopped"
        add("--cursor", default=START, metavar="CURSOR", help=words)


def check_confirmation(options: Options, *, action: str = "", continues: bool = True) -> None:
    """Raise ``UsageError`` for what makes no sense, and where ``DEBUG`` is off and nothing was forced."""
    if options["confirm"]:
        raise UsageError("--confirm is called --yes, with --force where DEBUG is off: nothing was removed.")
    if continues and not _PLACE.fullmatch(str(options["cursor"])):
        raise UsageError("--cursor must be what an earlier run has printed.")
    if action and options["yes"] and not options[action.removeprefix("--")]:
        raise UsageError(f"--yes goes with {action}.")
    if not options["yes"]:
        if options["force"] or (continues and str(options["cursor"]) != START):
            raise UsageError(f"--force{' and --cursor go' if continues else ' goes'} with --yes.")
    elif not (options["force"] or conf.setting("DEBUG")):
        raise UsageError("DEBUG is off, so this may be production, and nothing was removed: add --force to remove.")


def confirmed_words(options: Options) -> list[str]:
    """Return the arguments that confirm once more, for a command that continues."""
    return ["--yes", *(["--force"] if options["force"] else [])]
