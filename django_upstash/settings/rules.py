"""What values of settings must be, in which words a mistake is reported, and what corrects it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

YEARS_100 = timedelta(days=36500).total_seconds()
WITHOUT_QUOTES = "Write it without quotes, or leave it out for the default."
_DOTTED_PATH = r"[^\W\d]\w*(\.[^\W\d]\w*)+"


@dataclass(frozen=True)
class Mistake:
    """One thing wrong in the settings: the id of its system check, what is wrong, and how to correct it."""

    id: str
    text: str
    hint: str

    def __str__(self) -> str:
        return f"{self.text} {self.hint}"


def _unchanged(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Rule:
    """
    What a value must be: the id of its check, the test, the words for it, and what to do.

    ``typed`` converts an accepted value to what the field holds.
    """

    id: str
    accepts: Callable[[Any], bool]
    words: str
    hint: str
    typed: Callable[[Any], Any] = _unchanged

    def or_none(self) -> Rule:
        """Return this rule for a value that may be None, too."""
        return replace(
            self,
            accepts=lambda value: value is None or self.accepts(value),
            words=f"None, or {self.words}",
            typed=lambda value: None if value is None else self.typed(value),
        )


def flag(id: str, hint: str = "Write it without quotes.") -> Rule:
    """Return the rule of True or False."""
    return Rule(id, lambda value: isinstance(value, bool), "True or False", hint)


def text(id: str, words: str = "the name of a connection", hint: str = 'Such as "default".', most: int = 1024) -> Rule:
    """Return the rule of a text of 1 to ``most`` characters."""
    return Rule(id, lambda value: isinstance(value, str) and 0 < len(value) <= most, words, hint)


def matching(id: str, pattern: str, words: str, hint: str) -> Rule:
    """Return the rule of a text that matches a regular expression as a whole."""
    return Rule(id, lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None, words, hint)


def dotted_path(id: str, words: str, hint: str) -> Rule:
    """Return the rule of a dotted path."""
    return matching(id, _DOTTED_PATH, words, hint)


def one_of(id: str, *known: str, hint: str) -> Rule:
    """Return the rule of a choice among texts."""
    quoted = [f'"{choice}"' for choice in known]
    words = f"{', '.join(quoted[:-1])} or {quoted[-1]}"
    return Rule(id, lambda value: isinstance(value, str) and value in known, words, hint)


def whole(id: str, least: int, most: int | None = None, words: str = "", hint: str = WITHOUT_QUOTES) -> Rule:
    """Return the rule of a whole number; ``words`` are made of its bounds where they are left out."""
    bounds = f"a whole number, {least} or more" if most is None else f"a whole number from {least} to {most}"

    def accepts(value: Any) -> bool:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        return is_whole and value >= least and (most is None or value <= most)

    return Rule(id, accepts, words or bounds, hint)


def number(id: str, least: float, most: float, words: str, hint: str = WITHOUT_QUOTES, *, above: bool = False) -> Rule:
    """Return the rule of a number; ``above`` says that ``least`` is too little itself."""

    def accepts(value: Any) -> bool:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and (value > least if above else value >= least) and value <= most

    return Rule(id, accepts, words, hint)


def seconds(id: str, words: str, hint: str, *, least: float = 0, most: float = YEARS_100, above: bool = False) -> Rule:
    """Return the rule of a duration: a number of seconds or a timedelta, as seconds in the field."""
    bounds = number(id, least, most, words, hint, above=above)

    def accepts(value: Any) -> bool:
        return bounds.accepts(value.total_seconds() if isinstance(value, timedelta) else value)

    return replace(bounds, accepts=accepts, typed=_seconds)


def _seconds(value: Any) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def items(id: str, accepts: Callable[[Any], bool], words: str, hint: str, typed: Callable[[Any], Any] = tuple) -> Rule:
    """Return the rule of a list or tuple, each of whose items is accepted; the field holds a tuple."""
    return Rule(id, lambda value: isinstance(value, list | tuple) and all(map(accepts, value)), words, hint, typed)


def value_mistakes(rule: Rule, value: Any, shown: str) -> Iterator[Mistake]:
    """Yield what is wrong with a value that messages call ``shown``. They never contain the value."""
    if not rule.accepts(value):
        yield Mistake(rule.id, f"{shown} must be {rule.words}.", rule.hint)


def suggestion(key: object, known: Collection[str], synonyms: Mapping[str, str] = {}) -> str:
    """Return the hint for an unknown key: the known one it looks like, and all there are."""
    listed = f"Known are {', '.join(sorted(known))}."
    if not isinstance(key, str):
        return listed
    in_their_case = key.lower() if all(map(str.islower, known)) else key.upper()
    close = [synonyms[in_their_case]] if in_their_case in synonyms else get_close_matches(in_their_case, known, n=1)
    return f"Did you mean {close[0]}? {listed}" if close else listed
