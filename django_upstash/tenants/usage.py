"""What one tenant uses: added up, and read back by the period."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import TypeAlias

from django_upstash.operations.keys import check_encodable
from django_upstash.operations.steps import Flow, Run, twins
from django_upstash.tenants.batches import read
from django_upstash.tenants.loops import is_in_event_loop
from django_upstash.tenants.metering import UsageMeter, meter_of
from django_upstash.tenants.tenant_keys import Space, space

Period: TypeAlias = str | date
LARGEST_AMOUNT = 10**12
LONGEST_NAME = 200
_FORMATS = {"month": "%Y%m", "day": "%Y%m%d"}
_PERIOD = re.compile(r"\d{6}(\d\d)?", re.ASCII)


class Usage:
    """The usage of one tenant, in whole units of whatever is counted."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant

    def __repr__(self) -> str:
        return f"<Usage of {self._tenant!r}>"

    @property
    def meter(self) -> UsageMeter:
        """What this process has counted of all tenants and not yet written."""
        return meter_of(space())

    def add(self, name: str, amount: int = 1, *, id: str | None = None, at: datetime | None = None) -> None:
        """
        Count an amount, which may be negative, under a name.

        With an ``id``, the same id and name count once in a period, in whichever process. ``at`` is when it was used,
        now unless given. Writes what is due, except in an event loop; a server that is away raises nothing. Raises
        ``TypeError`` or ``ValueError`` for what cannot be counted.
        """
        if self._count(name, amount, id, at) and not is_in_event_loop():
            self.meter.write_due()

    async def aadd(self, name: str, amount: int = 1, *, id: str | None = None, at: datetime | None = None) -> None:
        """Like ``add``, and await the writing of what is due."""
        if self._count(name, amount, id, at):
            await self.meter.awrite_due()

    def _read(self, period: Period | None = None) -> Flow[dict[str, int]]:
        """
        Return what has been written of a period, by name: that of a date, ``"202611"``, or the current one.

        What processes have not yet written is not among it: ``flush`` first to see all that this one has counted.
        """
        home = space()
        found: dict[str, int] = yield Run(home.connection, read(home, self._tenant, period_name(home, period)))
        return found

    read, aread = twins(_read)

    def flush(self) -> int:
        """Write all that this process has counted, of all tenants; raise what keeps it from being written."""
        return self.meter.flush()

    async def aflush(self) -> int:
        """Async version of ``flush``."""
        return await self.meter.aflush()

    def _count(self, name: str, amount: int, id: str | None, at: datetime | None) -> bool:
        _check(name, amount, id, at)
        home = space()
        meter = meter_of(home)
        meter.add(self._tenant, period_name(home, at), name, amount, id)
        return meter.is_due


def _check(name: object, amount: object, id: object, at: datetime | None) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise ValueError(f"What is counted must have a name of 1 to {LONGEST_NAME} characters.")
    check_encodable(name)
    if isinstance(amount, bool) or not isinstance(amount, int):
        raise TypeError(f"An amount must be a whole number, not {type(amount).__name__}: count in a smaller unit.")
    if abs(amount) > LARGEST_AMOUNT:
        raise ValueError(f"An amount must be at most {LARGEST_AMOUNT:,} at a time: count in a larger unit.")
    if id is not None and not isinstance(id, str):
        raise TypeError(f"An id must be text, not {type(id).__name__}.")
    if at is not None and getattr(at, "tzinfo", None) is None:
        raise ValueError("The time of use must be a datetime that is aware of its time zone.")


def period_name(home: Space, moment: Period | None) -> str:
    """Return a period as keys have it; periods begin and end by UTC."""
    if isinstance(moment, str):
        if not _PERIOD.fullmatch(moment):
            raise ValueError('A period is written as "202611" or "20261130".')
        return moment
    if moment is None or isinstance(moment, datetime):
        moment = datetime.now(UTC) if moment is None else moment.astimezone(UTC)
    return moment.strftime(_FORMATS[home.settings.period])
