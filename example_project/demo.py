"""
The example site with all that it needs: ``python -m example_project.demo``, which ``scripts/demo`` runs.

It is one process, on this machine's own addresses only: Django's development server, in a thread the local REST
server, and the Valkey that the package starts for ``embedded://`` and ends after its last user.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import socket
import sys
from collections.abc import Sequence

import django
from django.core.management import CommandError, call_command

HOST = "127.0.0.1"
SITE_PORTS = range(8000, 8020)
REST_PORTS = range(8079, 8099)
USER = PASSWORD = "demo"


def main(arguments: Sequence[str] | None = None) -> None:
    site_port = choose_port(parse(arguments).port, SITE_PORTS)
    rest_port = choose_port(None, REST_PORTS)
    token = secrets.token_urlsafe(24)
    configure(f"http://{HOST}:{rest_port}", token)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background jobs ignore it
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda number, frame: sys.exit(128 + number))
    try:
        run(site_port, rest_port, token)
    except KeyboardInterrupt:
        sys.exit(130)
    except CommandError as error:
        sys.exit(str(error))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description="Show the example site; Ctrl-C ends it.")
    parser.add_argument("--port", type=int, help=f"of the site; without it, the first free one from {SITE_PORTS[0]} on")
    return parser.parse_args(arguments)


def choose_port(wanted: int | None, candidates: range) -> int:
    """Return the wanted port or the first free candidate; exit with a sentence where there is none."""
    for port in candidates if wanted is None else [wanted]:
        try:
            with socket.create_server((HOST, port)):
                return port
        except (OSError, OverflowError):
            continue
    if wanted is None:
        sys.exit(f"The ports {candidates[0]} to {candidates[-1]} of {HOST} are all in use; end what uses them.")
    sys.exit(f"Port {wanted} of {HOST} cannot be used. Choose another, or leave --port out to have a free one chosen.")


def configure(rest_url: str, token: str) -> None:
    """Set up Django for the demo, whatever the environment says about other servers."""
    os.environ.update(
        DJANGO_SETTINGS_MODULE="example_project.settings",
        DJANGO_DEBUG="1",
        REDIS_URL="",
        UPSTASH_REDIS_REST_URL=rest_url,
        UPSTASH_REDIS_REST_TOKEN=token,
    )
    django.setup()


def run(site_port: int, rest_port: int, token: str) -> None:
    from django_upstash.dev_server import LocalServer
    from example_project.traffic import searching

    print("Starting Valkey and the local REST server ...", flush=True)
    with LocalServer("embedded://", port=rest_port, token=token):
        print("Preparing the database (db.sqlite3) ...")
        call_command("migrate", verbosity=0)
        make_user()
        print("Asking both routes how they are: python manage.py redis_health", flush=True)
        call_command("redis_health")
        print(
            f"\nSite   http://{HOST}:{site_port}/\n"
            f"Admin  http://{HOST}:{site_port}/admin/  (user {USER}, password {PASSWORD})\n"
            f"Limits http://{HOST}:{site_port}/admin/django_upstash/ratelimitcounter/\n"
            f"REST   http://{HOST}:{rest_port}\n"
            "Ctrl-C ends all of it.\n",
            flush=True,
        )
        with searching():
            call_command("runserver", f"{HOST}:{site_port}", use_reloader=False, skip_checks=True)


def make_user() -> None:
    """Make the administrator whose password everybody knows: this site is for its own machine only."""
    from django.contrib.auth import get_user_model

    user, _ = get_user_model().objects.get_or_create(username=USER)
    user.is_staff = user.is_superuser = True
    user.set_password(PASSWORD)
    user.save()


if __name__ == "__main__":
    main()
