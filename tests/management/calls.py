"""Calling ``redis_health`` from Python."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command


def health(*arguments: str, **options: Any) -> str:
    """Return what the command prints; it raises where the exit code is not 0. A busy machine is given its time."""
    out = io.StringIO()
    options.setdefault("timeout", 30)
    call_command("redis_health", *arguments, stdout=out, stderr=io.StringIO(), no_color=True, **options)
    return out.getvalue()


def failing_health(*arguments: str, **options: Any) -> tuple[int, str, str]:
    """Return the exit code, the message, and what the command prints."""
    out = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("redis_health", *arguments, stdout=out, stderr=io.StringIO(), no_color=True, **options)
    return caught.value.returncode, str(caught.value), out.getvalue()
