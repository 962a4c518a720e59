"""Where Django has no tasks yet, importing ours says so."""

from __future__ import annotations

import django
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.utils.module_loading import import_string

pytestmark = [
    pytest.mark.matrix,
    pytest.mark.skipif(django.VERSION >= (6, 0), reason="this Django has tasks"),
]


def test_import__says_what_is_needed() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"needs Django 6\.0 or later"):
        import_string("django_upstash.tasks.UpstashBackend")


def test_worker__says_what_is_needed() -> None:
    with pytest.raises(CommandError, match=r"needs Django 6\.0 or later") as caught:
        call_command("upstash_worker")
    assert caught.value.returncode == 2
