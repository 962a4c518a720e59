"""Whatever an operator types after ``redis_health``: one line says what is wrong, and no terminal obeys it."""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command, load_command_class

from tests import hostile

LONGEST_MESSAGE = 2000
LONGEST_OUTPUT = 20_000
# What each subcommand cannot do without.
REQUIRED = {"flush": ["limits"], "key": ["k"]}


def arguments() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield what comes before a text that may be typed: of the subcommand, and its option if it is the value of one."""
    parser = load_command_class("django_upstash", "redis_health").create_parser("manage.py", "redis_health")
    (subcommands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    for name, subparser in subcommands.choices.items():
        for action in subparser._actions:
            if action.nargs != 0 and action.dest not in ("verbosity", "settings", "pythonpath", "watch"):
                yield name, (action.option_strings[0],) if action.option_strings else ()


CASES = list(dict.fromkeys(arguments()))


def typed(name: str, option: tuple[str, ...], text: str) -> list[str]:
    """Return a command line with a text in this place."""
    if option:
        return [*filter(None, [name]), *REQUIRED.get(name, []), f"{option[0]}={text}"]
    return [*filter(None, [name]), "--", text]


def said(argv: list[str]) -> tuple[str, str]:
    """Run the command; return what it printed, and the message of the error that it ended in."""
    out = io.StringIO()
    try:
        call_command("redis_health", *argv, stdout=out, stderr=out)
    except CommandError as error:
        return out.getvalue(), str(error)
    return out.getvalue(), ""


def is_harmless(text: str) -> bool:
    return all(character.isprintable() or character == "\n" for character in text)


@pytest.mark.default_cases(9)
@pytest.mark.parametrize(("name", "option"), CASES, ids=lambda part: "".join(part) or "_")
def test_argument__typed_by_anybody(upstash: dict[str, Any], name: str, option: tuple[str, ...]) -> None:
    del upstash["embedded"], upstash["rest"]
    upstash["default"] = upstash.pop("native")
    for kind, text in {**hostile.TEXTS, **hostile.ADDRESSES}.items():
        printed, message = said(typed(name, option, text))
        assert is_harmless(printed), (kind, printed)
        assert is_harmless(message), (kind, message)
        assert len(message) <= LONGEST_MESSAGE, (kind, len(message))
        assert len(printed) <= LONGEST_OUTPUT, (kind, len(printed))


def test_arguments__are_all_looked_at() -> None:
    assert {name for name, _ in CASES} >= {"keys", "key", "limits", "flush", "tenants", "queues", "sessions"}
    assert len(CASES) > 40
