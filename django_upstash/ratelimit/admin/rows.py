"""Counters as rows of a table: who a client is, how full a limit is, and how to sort, filter and page through them."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _

from django_upstash.admin.components import MeterBar, Text
from django_upstash.admin.formatting import duration, number
from django_upstash.ratelimit.admin.words import ALGORITHMS, STANDINGS, policy_words
from django_upstash.ratelimit.report.counters import Counter, CounterStanding, named
from django_upstash.ratelimit.stored import StoredLimit

if TYPE_CHECKING:
    from django_upstash.admin.pages import RedisPageAdmin

PER_PAGE = 50
_LONGEST_LIST = 100_000
_ORDER = {standing: place for place, standing in enumerate(CounterStanding)}
_LAST = float("inf")


@dataclass(frozen=True)
class Person:
    """The user behind an identity, where this viewer may see users."""

    name: str
    url: str


@dataclass(frozen=True)
class CounterRow:
    """One counter as the table shows it."""

    counter: Counter
    url: str
    person: Person | None = None

    @property
    def key(self) -> str:
        return self.counter.stored.key

    @property
    def scope(self) -> str:
        return self.counter.stored.scope

    @property
    def identity(self) -> str:
        return self.counter.stored.identity

    @property
    def who(self) -> str:
        return f"{self.person.name} ({self.identity})" if self.person else self.identity

    @property
    def standing(self) -> Text:
        return STANDINGS[self.counter.standing]

    @property
    def tone(self) -> str:
        return self.counter.standing.value.replace(" ", "-")

    @property
    def meter(self) -> MeterBar | None:
        counter = self.counter
        if counter.limit is None or counter.used is None:
            return None
        tones = {CounterStanding.AT_LIMIT: "full", CounterStanding.BLOCKED: "full", CounterStanding.NEAR: "near"}
        label = _("%(used)s of %(limit)s used") % {"used": number(counter.used), "limit": number(counter.limit)}
        return MeterBar(counter.used, counter.limit, tones.get(counter.standing, ""), label)

    @property
    def resets_in(self) -> str:
        reset = self.counter.reset_after
        return "" if reset is None else duration(reset)

    @property
    def listed(self) -> str:
        """How long a block or an exemption lasts, in words."""
        if self.counter.standing not in (CounterStanding.BLOCKED, CounterStanding.EXEMPT):
            return ""
        seconds = self.counter.listed_for
        return _("without end") if seconds is None else _("for %(time)s") % {"time": duration(seconds)}

    @property
    def policy(self) -> str:
        return policy_words(self.counter.policy) if self.counter.policy else ""

    @property
    def algorithm(self) -> Text:
        return ALGORITHMS.get(self.counter.algorithm or "", _("unreadable"))


def rows(page: RedisPageAdmin, request: HttpRequest, counters: Sequence[Counter], query: str) -> list[CounterRow]:
    """Return the rows of counters, in one query to the database where users are among them."""
    people = _people(page, request, {counter.stored.identity for counter in counters})
    return [
        CounterRow(counter, page.object_url(counter.stored.key) + query, people.get(counter.stored.identity))
        for counter in counters
    ]


def _people(page: RedisPageAdmin, request: HttpRequest, identities: Iterable[str]) -> Mapping[str, Person]:
    model = get_user_model()
    site, opts = page.admin_site, model._meta
    named = {identity.removeprefix("user:"): identity for identity in identities if identity.startswith("user:")}
    if not (named and site.is_registered(model) and site.get_model_admin(model).has_view_permission(request)):
        return {}
    keys = [key for key in map(partial(_primary_key, opts.pk), named) if key is not None]
    found = model._default_manager.in_bulk(keys)
    people = {}
    for key, user in found.items():
        try:
            url = reverse(f"{site.name}:{opts.app_label}_{opts.model_name}_change", args=[key])
        except NoReverseMatch:
            continue
        if str(key) in named:
            people[named[str(key)]] = Person(user.get_username(), url)
    return people


def _primary_key(field: Any, text: str) -> Any:
    try:
        key = field.to_python(text)
        field.run_validators(key)
    except ValidationError:
        return None
    return key


def _used(counter: Counter) -> tuple[Any, ...]:
    share = counter.share
    return _ORDER[counter.standing], -(share if share is not None else -1.0), -(counter.used or 0)


SORTS: Mapping[str, Callable[[Counter], Any]] = {
    "scope": lambda counter: (counter.stored.tenant, counter.stored.scope, counter.stored.identity),
    "who": lambda counter: (counter.stored.identity, counter.stored.scope),
    "used": _used,
    "remaining": lambda counter: _LAST if counter.remaining is None else counter.remaining,
    "resets": lambda counter: _LAST if counter.reset_after is None else counter.reset_after,
}


def sort(counters: Sequence[Counter], by: str) -> list[Counter]:
    """Return counters in order; a minus sign before the name turns it around."""
    return sorted(counters, key=SORTS[by.lstrip("-")], reverse=by.startswith("-"))


class CounterPage(NamedTuple):
    """What refreshing a page needs to know of it."""

    keys: Sequence[str]
    looked_at: int  # counters, when it was made
    others_at_limit: int  # beyond those on the page

    @property
    def stored(self) -> list[StoredLimit]:
        return [stored for key in self.keys if (stored := named(key)) is not None]


def packed(page: CounterPage) -> str:
    """Return a page as text that fits into an address."""
    body = json.dumps([page.looked_at, page.others_at_limit, *page.keys]).encode()
    return base64.urlsafe_b64encode(zlib.compress(body, 9)).decode().rstrip("=")


def unpacked(text: str) -> CounterPage:
    """Return the page that was packed; an empty one if this module has not packed the text."""
    try:
        packed_bytes = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        looked_at, others, *keys = json.loads(zlib.decompressobj().decompress(packed_bytes, _LONGEST_LIST))
        return CounterPage(keys[:PER_PAGE], int(looked_at), int(others))
    except (ValueError, TypeError, OverflowError, zlib.error, RecursionError):
        return CounterPage([], 0, 0)
