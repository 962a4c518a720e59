#!/usr/bin/env python
"""Django's command line, over the example project."""

from __future__ import annotations

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError as error:
        raise SystemExit(
            "Django is not installed for this Python; use .venv/bin/python (scripts/setup makes it)."
        ) from error
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
