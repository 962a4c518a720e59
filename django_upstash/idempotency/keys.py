"""
The names of keys, ``idempotency:<tenant>:<key>``, each part percent-encoded, and the fingerprints of payloads.

The prefix of the environment comes before that, where there is one.
"""

from __future__ import annotations

import json
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from django.utils.encoding import force_bytes

from django_upstash.operations.keys import percent_encoded, root

LONGEST = 1024
_PURPOSE = b"upstash idem fp"


def beginning() -> str:
    """Return what the names of all keys begin with."""
    return root("idempotency:")


def name_of(tenant: str, key: str) -> str:
    """Return the name in the database; raise ``ValueError`` for a part that is no text, empty, or too long."""
    parts: dict[str, object] = {"tenant": tenant, "key": key}
    for what, part in parts.items():
        if not (isinstance(part, str) and 0 < len(part) <= LONGEST):
            raise ValueError(f"The {what} must be a text of 1 to {LONGEST} characters.")
    return f"{beginning()}{percent_encoded(tenant)}:{percent_encoded(key)}"


def fingerprint(payload: object, secret: str | bytes) -> str:
    """
    Return the keyed digest of a payload: of bytes as they are, of anything else as canonical JSON.

    Equal JSON has one digest, whatever the order of its keys. Raises ``TypeError`` for what JSON does not have.
    """
    tag = blake2b(key=_digest_key(secret), digest_size=16)
    if isinstance(payload, bytes | bytearray | memoryview):
        tag.update(b"b")
        tag.update(payload)
    else:
        tag.update(b"j" + canonical_json(payload))
    return tag.hexdigest()


def canonical_json(value: object) -> bytes:
    """Return JSON with sorted keys and no white space; raise ``TypeError`` or ``ValueError`` for what it cannot say."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":"), default=_refuse)
    return text.encode()


def _refuse(value: object) -> Any:
    raise TypeError(
        f"A payload or a result must be text, a number, a bool, None, or a list or dict of these, not "
        f"{type(value).__name__}; a payload as a whole may be bytes."
    )


@lru_cache(maxsize=8)
def _digest_key(secret: str | bytes) -> bytes:
    return blake2b(force_bytes(secret), digest_size=32, person=_PURPOSE).digest()
