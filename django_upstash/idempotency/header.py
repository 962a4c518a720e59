"""
The ``Idempotency-Key`` header: a string of structured fields (RFC 8941), of 1 to 255 characters.

https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header-07
"""

from __future__ import annotations

import re

LONGEST = 255
# Longer ones are not even looked at: every character of the key, escaped, and room for parameters.
_LONGEST_FIELD = 4 * LONGEST
_STRING = r'"(?:[ !#-\[\]-~]|\\["\\])*"'
_VALUE = rf"(?:{_STRING}|-?\d{{1,15}}(?:\.\d{{1,3}})?|[A-Za-z*][!#-'*+\-.^-z|~0-9:/A-Z]*|:[A-Za-z0-9+/=]*:|\?[01])"
_ITEM = re.compile(rf"({_STRING})(?:; *[a-z*][a-z0-9_.*-]*(?:={_VALUE})?)*", re.ASCII)
_BARE = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~:/=@]+", re.ASCII)


class MalformedKey(ValueError):
    """A header that names no key; the text says why, and does not show it."""


def parse_key(field: str, *, accepts_bare: bool = False) -> str:
    """
    Return the key that the header's value names. Parameters after it mean nothing, and are passed over.

    With ``accepts_bare``, a key without quotes is one too, as many clients send it. Raises ``MalformedKey``.
    """
    field = field.strip(" \t")
    if len(field) > _LONGEST_FIELD:
        raise MalformedKey(f"The key is longer than {LONGEST} characters.")
    match = _ITEM.fullmatch(field)
    if match is not None:
        key = re.sub(r"\\(.)", r"\1", match[1][1:-1])
    elif accepts_bare and _BARE.fullmatch(field):
        key = field
    else:
        raise MalformedKey('The header must be one string in double quotes, such as Idempotency-Key: "8e03978e-40d5".')
    if not 0 < len(key) <= LONGEST:
        raise MalformedKey("The key is empty." if not key else f"The key is longer than {LONGEST} characters.")
    return key
