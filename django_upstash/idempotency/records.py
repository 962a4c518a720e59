"""
What is stored of one idempotency key: that somebody works on it, or what came of it, sealed for that key.

    p:<sealed>    in progress: the owner's token and the payload's fingerprint
    d:<sealed>    done: the same, and the result

The letter is for counting; the seal covers it with the name of the key.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from django_upstash.codecs.sealing import Purpose, Rejected, Sealer

IN_PROGRESS, DONE = b"p", b"d"
_PURPOSE = Purpose(signing=b"upstash idem 1", encrypting=b"idem records 1")


class Record(NamedTuple):
    """One key's state: whether it is done, the token of who works or worked on it, the fingerprint, the result."""

    is_done: bool
    token: str
    fingerprint: str
    result: bytes = b""

    @property
    def letter(self) -> bytes:
        return DONE if self.is_done else IN_PROGRESS


class RecordSealer:
    """Seals records for the name of their key, and opens what was sealed; see ``Sealer`` for the keys."""

    def __init__(self, site_secrets: Sequence[str | bytes], encryption_keys: Sequence[bytes]) -> None:
        self._sealer = Sealer(_PURPOSE, site_secrets, encryption_keys)

    def seal(self, name: str, record: Record) -> bytes:
        line = f"{record.token} {record.fingerprint}\n".encode()
        return record.letter + b":" + self._sealer.seal(_bound(name, record.letter), line + record.result)

    def open(self, name: str, stored: bytes) -> Record:
        """Return what was sealed under this name; raise ``Rejected`` for anything else."""
        letter, _, sealed = stored.partition(b":")
        if letter not in (IN_PROGRESS, DONE):
            raise Rejected("it has no form that is written here")
        line, _, result = self._sealer.open(_bound(name, letter), sealed).partition(b"\n")
        token, _, fingerprint = line.decode().partition(" ")
        return Record(letter == DONE, token, fingerprint, result)


@lru_cache(maxsize=8)
def record_sealer(site_secrets: tuple[str | bytes, ...], encryption_keys: tuple[bytes, ...]) -> RecordSealer:
    """Return the sealer of these secrets, whose keys are derived once."""
    return RecordSealer(site_secrets, encryption_keys)


def new_token() -> str:
    return secrets.token_hex(12)


def _bound(name: str, letter: bytes) -> str:
    # No name of a key ends so: its parts are percent-encoded.
    return f"{name}#{letter.decode()}"
