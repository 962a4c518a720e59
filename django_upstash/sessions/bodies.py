"""What a session looks like in the database: a line about it and its data, signed or encrypted for one key."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from django_upstash.codecs import sealing
from django_upstash.codecs.sealing import Rejected

__all__ = ["Rejected", "SessionRecord", "SessionSealer"]

_PURPOSE = sealing.Purpose(signing=b"upstash sessions", encrypting=b"session bodies 1")


@dataclass(frozen=True, kw_only=True)
class SessionRecord:
    """
    One session as it is stored. Times are Unix times, and ``lifetime`` a duration, in milliseconds.

    ``created`` is when it began, or when its user logged in; ``owner`` is the user whose index lists it.
    """

    created: int = 0
    saved: int = 0
    lifetime: int = 0
    ip_address: str = ""
    user_agent: str = ""
    owner: str = ""
    payload: bytes = b""

    def packed(self) -> bytes:
        line = (self.created, self.saved, self.lifetime, self.ip_address, self.user_agent, self.owner)
        return json.dumps(line, separators=(",", ":")).encode() + b"\n" + self.payload

    @classmethod
    def unpacked(cls, packed: bytes) -> SessionRecord:
        line, _, payload = packed.partition(b"\n")
        created, saved, lifetime, ip_address, user_agent, owner = json.loads(line)
        return cls(
            created=created,
            saved=saved,
            lifetime=lifetime,
            ip_address=ip_address,
            user_agent=user_agent,
            owner=owner,
            payload=payload,
        )


class SessionSealer:
    """
    Seals records for the name of their key, and opens what was sealed.

    The first of ``secrets`` signs, and all of them verify. Where there are ``encryption_keys``, the first of them
    encrypts, and all of them decrypt; what was only signed is still read.
    """

    def __init__(self, secrets: Sequence[str | bytes], encryption_keys: Sequence[bytes] = ()) -> None:
        self._sealer = sealing.Sealer(_PURPOSE, secrets, encryption_keys)

    def seal(self, name: str, record: SessionRecord) -> bytes:
        return self._sealer.seal(name, record.packed())

    def open(self, name: str, body: bytes) -> SessionRecord:
        """Return what was sealed for this name; raise ``Rejected`` for anything else."""
        return SessionRecord.unpacked(self._sealer.open(name, body))
