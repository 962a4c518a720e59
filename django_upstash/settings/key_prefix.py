"""
``UPSTASH_KEY_PREFIX`` keeps the environments of a project apart that share a database, such as previews.

Every key and every channel of this package begins with it and a colon.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from django_upstash.features import states
from django_upstash.settings import conf
from django_upstash.settings.rules import Mistake

PREFIX_SETTING = "UPSTASH_KEY_PREFIX"
LONGEST_PREFIX = 64
_PREFIX = re.compile(rf"[A-Za-z0-9._-]{{0,{LONGEST_PREFIX}}}")


@cache
def environment() -> str:
    """
    Return what all keys of this environment begin with: ``UPSTASH_KEY_PREFIX`` and a colon, or "" without a prefix.

    Raises ``ImproperlyConfigured`` for a prefix that keys cannot have.
    """
    for mistake in prefix_mistakes():
        raise ImproperlyConfigured(str(mistake))
    prefix = conf.setting(PREFIX_SETTING, "")
    return f"{prefix}:" if prefix else ""


def prefix_mistakes() -> Iterator[Mistake]:
    """Yield what is wrong with ``UPSTASH_KEY_PREFIX``."""
    prefix = conf.setting(PREFIX_SETTING, "")
    if not isinstance(prefix, str):
        text = f"{PREFIX_SETTING} must be text, not {type(prefix).__name__}."
        yield Mistake("E060", text, 'Write it in quotes, such as "preview-1"; leave it out for no prefix.')
    elif not _PREFIX.fullmatch(prefix):
        text = (
            f"{PREFIX_SETTING} may have {LONGEST_PREFIX} of the characters A-Z, a-z, 0-9, dot, underscore and hyphen."
        )
        yield Mistake("E060", text, "Leave out the others; key_prefix_from_env() makes one of a branch's name.")
    elif prefix and prefix in _names_of_features():
        text = f"{PREFIX_SETTING} is {prefix!r}, with which keys of a feature begin where there is no prefix."
        yield Mistake("E060", text, f'Name the environment, such as "preview-{prefix}".')


def _names_of_features() -> set[str]:
    """Return what keys begin with before their first colon: with it as prefix, keys would look like a feature's."""
    beginnings = [beginning for state in states() for beginning in state.key_beginnings()]
    return {"django_upstash", *(beginning.partition(":")[0] for beginning in beginnings)}


def _forget_changed(*, setting: str, **kwargs: Any) -> None:
    if setting == PREFIX_SETTING:
        environment.cache_clear()


setting_changed.connect(_forget_changed, dispatch_uid="django_upstash.operations.keys")
