"""
Rules of flags, switches and samples, with the names and the meaning they have in django-waffle.

One thing differs: who is among the ``percent`` of a flag follows from a digest of tenant, flag and user, not by chance
and a cookie. So everybody's answer stays, in all processes, and raising the number only adds people.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import blake2b
from typing import Any

from django_upstash.forks import random
from django_upstash.operations.steps import Flow

_PARTS = 10_000  # percentages are kept to a hundredth


@dataclass(frozen=True, kw_only=True)
class Flag:
    """
    For whom a flag is on. ``everyone`` decides where it is True or False; else any of the others is enough.

    ``percent`` is from 0 to 100; ``users`` are primary keys as text, ``groups`` their names, ``languages`` codes. As in
    waffle, superusers have it unless told otherwise. Raises ``ValueError`` or ``TypeError`` for what makes no sense.
    """

    everyone: bool | None = None
    percent: float | None = None
    superusers: bool = True
    staff: bool = False
    authenticated: bool = False
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.everyone is not None and not isinstance(self.everyone, bool):
            raise TypeError("everyone must be True, False or None.")
        if not all(isinstance(value, bool) for value in (self.superusers, self.staff, self.authenticated)):
            raise TypeError("superusers, staff and authenticated must be True or False.")
        if self.percent is not None:
            check_percent(self.percent)
        for name in ("users", "groups", "languages"):
            given = getattr(self, name)
            if isinstance(given, str | bytes):
                raise TypeError(f"{name} must be a list, not one text.")
            object.__setattr__(self, name, tuple(map(str, given)))

    @property
    def decided(self) -> bool | None:
        """The answer for everybody, where no user need be known; else None."""
        if self.everyone is not None:
            return self.everyone
        return True if self.percent == 100 else None

    @property
    def as_json(self) -> str:
        return json.dumps(asdict(self))

    def for_user(self, user: Any) -> bool:
        """Tell whether a user has the flag whatever their groups and their share of the percentage."""
        if not getattr(user, "is_authenticated", False):
            return False
        return bool(
            self.authenticated
            or (self.superusers and getattr(user, "is_superuser", False))
            or (self.staff and getattr(user, "is_staff", False))
            or str(user.pk) in self.users
        )

    def for_share(self, tenant: str, name: str, identity: str | None) -> bool:
        """Tell whether somebody is among the percentage; who has no identity is not."""
        return identity is not None and _place(tenant, name, identity) < (self.percent or 0)


def flag_from_json(text: str) -> Flag:
    """Return a stored flag; raise ``ValueError`` or ``TypeError`` for an invalid value."""
    given = json.loads(text)
    if not isinstance(given, Mapping):
        raise TypeError("A flag is stored as an object.")
    known = {field.name for field in fields(Flag)}
    return Flag(**{key: value for key, value in given.items() if key in known})


def check_percent(value: object) -> float:
    """Return a percentage; raise ``ValueError`` for an invalid value."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise ValueError(f"A percentage must be a number from 0 to 100, not {value!r}.")
    return float(value)


def in_sample(percent: float) -> bool:
    """Return True in so many percent of the calls, by chance."""
    return random.random() * 100 < percent


@dataclass(frozen=True)
class _InGroups:
    """Ask the database whether a user is in one of some groups."""

    user: Any
    groups: tuple[str, ...]

    def do(self) -> bool:
        return bool(self.user.groups.filter(name__in=self.groups).exists())

    async def ado(self) -> bool:
        return bool(await self.user.groups.filter(name__in=self.groups).aexists())


def evaluate(flag: Flag, tenant: str, name: str, user: Any, identity: str | None, language: str | None) -> Flow[bool]:
    """Return whether the flag is on; asks the database alone where groups decide."""
    if flag.decided is not None:
        return flag.decided
    if language is not None and language in flag.languages:
        return True
    if flag.for_user(user):
        return True
    is_known = getattr(user, "is_authenticated", False)
    if identity is None and is_known:
        identity = str(user.pk)
    if flag.for_share(tenant, name, identity):
        return True
    if flag.groups and is_known and hasattr(user, "groups"):
        return bool((yield _InGroups(user, flag.groups)))
    return False


def _place(tenant: str, name: str, identity: str) -> float:
    """Return a number from 0 to 100 for somebody, always the same."""
    # Lengths, so that no two triples are the same text.
    text = f"{len(tenant)} {len(name)} {tenant}{name}{identity}".encode("utf-8", "surrogatepass")
    digest = blake2b(text, digest_size=8, person=b"upstash flags 1").digest()
    return int.from_bytes(digest) % _PARTS / (_PARTS / 100)
