"""Serves the browser tests' site until it is ended: ``python -m tests.admin.site PORT``."""

from __future__ import annotations

import os
import sys

import django
from django.core.management import call_command

USER = PASSWORD = "operator"


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.admin.site_settings"
    django.setup()
    from django.contrib.auth import get_user_model

    call_command("migrate", verbosity=0)
    users = get_user_model().objects
    if not users.exists():
        users.create_superuser(USER, password=PASSWORD)
        users.create_user("ann")
    call_command("runserver", f"127.0.0.1:{sys.argv[1]}", use_reloader=False, skip_checks=True)


if __name__ == "__main__":
    main()
