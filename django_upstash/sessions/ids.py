"""The ids of sessions."""

from __future__ import annotations

import secrets

from django.contrib.sessions.backends.base import VALID_KEY_CHARS

_KEY_LENGTH = 32
_NUMBER_OF_KEYS = len(VALID_KEY_CHARS) ** _KEY_LENGTH


def random_key() -> str:
    """Return an id like Django's: as random, and made of one read of the system's randomness, not one a character."""
    number, characters = secrets.randbelow(_NUMBER_OF_KEYS), []
    for _ in range(_KEY_LENGTH):
        number, place = divmod(number, len(VALID_KEY_CHARS))
        characters.append(VALID_KEY_CHARS[place])
    return "".join(characters)
