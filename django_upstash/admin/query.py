"""The query string of a page: read without trust, and rewritten with changes."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from typing import ClassVar

from django.http import QueryDict

from django_upstash.admin.components import Choice
from django_upstash.admin.pages import ALIAS, LIVE


class Parameters:
    """The query parameters of a request; invalid ones are ignored."""

    passing: ClassVar[tuple[str, ...]] = (LIVE,)  # what belongs to one request alone, and in no other address
    lasting: ClassVar[tuple[str, ...]] = (ALIAS,)  # what a new search keeps

    def __init__(self, given: QueryDict) -> None:
        self.given = given
        self.page = min(self.number("p", 1), 10_000)

    def url(self, **changes: str | None) -> str:
        """Return the address of the page with other parameters; None leaves one out."""
        given = self.given.copy()
        for name in self.passing:
            given.pop(name, None)
        for name, value in changes.items():
            given.pop(name, None)
            if value is not None:
                given[name] = value
        return f"?{given.urlencode()}"

    def one_of(self, name: str, known: Container[str]) -> str | None:
        value = self.given.get(name)
        return value if value and value in known else None

    def number(self, name: str, default: int) -> int:
        value = self.given.get(name, "")
        return int(value) if value.isascii() and value.isdigit() and len(value) <= 20 else default

    @property
    def kept(self) -> list[tuple[str, str]]:
        """What a new search keeps."""
        return [(name, value) for name in self.lasting if (value := self.given.get(name))]


def steps(here: int, pages: int, url: Callable[[int], str]) -> Iterator[Choice]:
    """Yield the steps of a pager: the first page, the last one, and those near."""
    near = sorted({1, pages, *range(max(1, here - 2), min(pages, here + 2) + 1)})
    for before, page in zip([0, *near], near, strict=False):
        if page - before > 1:
            yield Choice("…", "")
        yield Choice(str(page), url(page), page == here)
