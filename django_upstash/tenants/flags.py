"""One tenant's flags, switches and samples: asked for free, and set."""

from __future__ import annotations

import json
from typing import Any

from django_upstash.exceptions import UpstashError
from django_upstash.log import get_logger
from django_upstash.operations.steps import Flow, twins
from django_upstash.tenants.flag_rules import Flag, check_percent, evaluate, in_sample
from django_upstash.tenants.snapshots import FLAG, SAMPLE, SWITCH, Snapshot, load, remove, store, stored_field

logger = get_logger("django_upstash.tenants")


class Flags:
    """
    The flags, switches and samples of one tenant, with waffle's names and meaning.

    Asking costs nothing between two readings of the tenant's record. The answer is ``default`` for what is not there,
    and for everything as long as nothing could be read.
    """

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant

    def __repr__(self) -> str:
        return f"<Flags of {self._tenant!r}>"

    def _is_active(
        self,
        name: str,
        user: Any = None,
        *,
        identity: str | None = None,
        language: str | None = None,
        default: bool = False,
    ) -> Flow[bool]:
        """
        Tell whether a flag is on for a user.

        ``identity`` is who counts for the percentage, the user's primary key unless given: without either, nobody is
        among it. Asks the database where groups decide, and for nothing else.
        """
        flag = (yield from self._known()).flags.get(name)
        if flag is None:
            return default
        return (yield from evaluate(flag, self._tenant, name, user, identity, language))

    def _decided(self, name: str) -> Flow[bool | None]:
        """Return a flag's answer where it is the same for everybody, and None where a user must be known."""
        flag = (yield from self._known()).flags.get(name)
        return None if flag is None else flag.decided

    def _switch_is_active(self, name: str, *, default: bool = False) -> Flow[bool]:
        """Tell whether a switch is on."""
        return (yield from self._known()).switches.get(name, default)

    def _sample_is_active(self, name: str, *, default: bool = False) -> Flow[bool]:
        """Tell, by chance, whether this call is among a sample's percentage."""
        percent = (yield from self._known()).samples.get(name)
        return default if percent is None else in_sample(percent)

    def _all(self) -> Flow[dict[str, Flag]]:
        """Return the flags by name; raise what keeps them from being read where they never were."""
        return dict((yield from load(self._tenant)).flags)

    def _set(self, name: str, **rule: Any) -> Flow[None]:
        """Store a flag; what it may say is what ``Flag`` takes. Other processes follow within ``REFRESH``."""
        yield from store(self._tenant, {stored_field(FLAG, name): Flag(**rule).as_json})

    def _delete(self, name: str) -> Flow[None]:
        """Remove a flag."""
        yield from remove(self._tenant, [stored_field(FLAG, name)])

    def _set_switch(self, name: str, active: bool | None) -> Flow[None]:
        """Store a switch, or remove it where ``active`` is None."""
        yield from self._put(SWITCH, name, None if active is None else str(int(bool(active))))

    def _set_sample(self, name: str, percent: float | None) -> Flow[None]:
        """Store a sample of so many percent, or remove it where that is None."""
        yield from self._put(SAMPLE, name, None if percent is None else json.dumps(check_percent(percent)))

    is_active, ais_active = twins(_is_active)
    decided, adecided = twins(_decided)
    switch_is_active, aswitch_is_active = twins(_switch_is_active)
    sample_is_active, asample_is_active = twins(_sample_is_active)
    all, aall = twins(_all)
    set, aset = twins(_set)
    delete, adelete = twins(_delete)
    set_switch, aset_switch = twins(_set_switch)
    set_sample, aset_sample = twins(_set_sample)

    def _put(self, kind: str, name: str, text: str | None) -> Flow[None]:
        field = stored_field(kind, name)
        yield from remove(self._tenant, [field]) if text is None else store(self._tenant, {field: text})

    def _known(self) -> Flow[Snapshot]:
        try:
            return (yield from load(self._tenant))
        except UpstashError as error:
            logger.warning("Flags of a tenant answer with their defaults, for they cannot be read: %s", error)
            return Snapshot()
