"""``manage.py upstash_local``: Upstash REST over any Redis, on this machine, without an account."""

from __future__ import annotations

import errno
import shlex
import signal
import threading
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

if TYPE_CHECKING:
    from django_upstash.dev_server import LocalServer

BANNER = """\
Upstash REST at {url}, over the Redis at {redis}.

{variables}

What it has cost:
curl -H "Authorization: Bearer $UPSTASH_REDIS_REST_TOKEN" {url}/_local/meter

Ctrl-C ends it."""


class Command(BaseCommand):
    help = "Serve the Upstash REST API on this machine, over any Redis or Valkey. Ctrl-C ends it."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=port_number, default=8079, help="of 127.0.0.1; 0 takes a free one (8079)")
        parser.add_argument(
            "--redis", metavar="URL", default="embedded://", help="the Redis behind it (the embedded one)"
        )
        parser.add_argument("--token", help="what clients must show (a random one)")
        parser.add_argument("--host", default="127.0.0.1", help="another loopback address, such as ::1")

    def handle(self, *args: Any, **options: Any) -> None:
        server = start(options["redis"], host=options["host"], port=options["port"], token=options["token"])
        with closing(server), ending_signals() as ended:
            variables = "\n".join(f"{name}={shlex.quote(value)}" for name, value in server.env.items())
            self.stdout.write(BANNER.format(url=server.url, redis=server.redis, variables=variables))
            self.stdout.flush()
            ended.wait()


def port_number(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) < 65536:
        return int(text)
    raise ArgumentTypeError(f"{text!r} is not a port; give a number from 0 to 65535.")


def start(redis_url: str, *, host: str, port: int, token: str | None) -> LocalServer:
    """Return a running server, or raise ``CommandError`` with one sentence that says what to change."""
    from django_upstash.dev_server import LocalServer
    from django_upstash.dev_server.backend import BackendError
    from django_upstash.exceptions import ConnectionError

    try:
        server = LocalServer(redis_url, host=host, port=port, token=token)
        server.start()
    except BackendError as error:
        raise CommandError(f"{error} Start it, or give another address with --redis.") from error
    except (ConnectionError, ImproperlyConfigured, ValueError) as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CommandError(
                f"Port {port} of {host} is in use; end what uses it, or choose another with --port."
            ) from error
        raise CommandError(
            f"Cannot listen on port {port} of {host}: {error.strerror}. Choose another with --port."
        ) from error
    return server


@contextmanager
def ending_signals() -> Iterator[threading.Event]:
    """Yield an event that happens when the user or the system asks for the end."""
    ended = threading.Event()
    before = {number: signal.signal(number, lambda *_: ended.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
