"""The app servers: how each is started with ``site.py``, and what must be installed for it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

SITE = "tests.app_servers.site"
TASKS = "tests.app_servers.tasks"
CELERY = "celery prefork"
_GRANIAN = ("-m", "granian", "--no-ws", "--workers", "2", "--port", "{port}", "--interface")
_GUNICORN = ("-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--worker-class")
_HYPERCORN = ("-m", "hypercorn", "--bind", "127.0.0.1:{port}", "--worker-class")
_UVICORN = ("-m", "uvicorn", "--port", "{port}", "--log-level", "warning", "--loop")
_WSGI, _ASGI = f"{SITE}:wsgi", f"{SITE}:asgi"
UWSGI = ("-c", "import sys, pyuwsgi; pyuwsgi.run(sys.argv[1:])", "--http-socket", "127.0.0.1:{port}", "--module", _WSGI)
# Otherwise a worker that is busy at SIGTERM runs no function of its end.
UWSGI_STOPS = ("--hook-master-start", "unix_signal:15 gracefully_kill_them_all")


@dataclass(frozen=True)
class AppServer:
    """
    How Python runs a server, ``{port}`` in its arguments being where it listens.

    ``model`` is how its workers run requests, ``modules`` what it imports, ``workers`` how many processes serve, and
    ``at_import`` what the site does before they are forked.
    """

    model: str
    modules: tuple[str, ...]
    arguments: tuple[str, ...]
    workers: int = 1
    at_import: str = ""

    @property
    def is_asynchronous(self) -> bool:
        return self.model in ("asyncio", "uvloop")

    @property
    def missing(self) -> str:
        """What to install before it can run; empty where nothing is missing."""
        names = [module for module in self.modules if find_spec(module) is None]
        return f"pip install {' '.join(names)}" if names else ""

    def command(self, port: int) -> Sequence[str]:
        return [sys.executable, *(argument.format(port=port) for argument in self.arguments)]


APP_SERVERS = {
    "gunicorn sync": AppServer(
        "processes", ("gunicorn",), (*_GUNICORN, "sync", "--workers", "2", "--preload", _WSGI), 2, "verify"
    ),
    "gunicorn gthread": AppServer(
        "threads", ("gunicorn",), (*_GUNICORN, "gthread", "--threads", "8", "--preload", _WSGI), at_import="verify"
    ),
    "gunicorn gevent": AppServer(
        "gevent", ("gunicorn", "gevent"), (*_GUNICORN, "gevent", "--preload", _WSGI), at_import="verify"
    ),
    "gunicorn gevent, unused route": AppServer(
        "gevent", ("gunicorn", "gevent"), (*_GUNICORN, "gevent", "--preload", _WSGI), at_import="route"
    ),
    "gunicorn asgi": AppServer("uvloop", ("gunicorn", "uvloop"), (*_GUNICORN, "asgi", _ASGI)),
    "gunicorn uvicorn": AppServer(
        "uvloop",
        ("gunicorn", "uvicorn", "uvloop"),
        # This worker shows a sign of life only once in the timeout; after a freeze a shorter one would end it.
        (*_GUNICORN, "uvicorn.workers.UvicornWorker", "--workers", "2", "--timeout", "90", _ASGI),
        2,
    ),
    "uvicorn asyncio": AppServer("asyncio", ("uvicorn",), (*_UVICORN, "asyncio", _ASGI)),
    "uvicorn uvloop": AppServer("uvloop", ("uvicorn", "uvloop"), (*_UVICORN, "uvloop", _ASGI)),
    "granian wsgi": AppServer("threads", ("granian",), (*_GRANIAN, "wsgi", "--blocking-threads", "4", _WSGI), 2),
    "granian asgi": AppServer("uvloop", ("granian", "uvloop"), (*_GRANIAN, "asgi", "--loop", "uvloop", _ASGI), 2),
    "hypercorn asyncio": AppServer("asyncio", ("hypercorn",), (*_HYPERCORN, "asyncio", _ASGI)),
    "hypercorn uvloop": AppServer("uvloop", ("hypercorn", "uvloop"), (*_HYPERCORN, "uvloop", _ASGI)),
    "daphne": AppServer("asyncio", ("daphne",), ("-m", "daphne", "-b", "127.0.0.1", "-p", "{port}", _ASGI)),
    "uwsgi": AppServer(
        "uwsgi",
        ("pyuwsgi",),
        (*UWSGI, "--master", "--processes", "2", "--need-app", "--disable-logging", *UWSGI_STOPS),
        2,
        "verify",
    ),
    CELERY: AppServer(
        "prefork",
        ("celery",),
        ("-m", "celery", "-A", TASKS, "worker", "-P", "prefork", "-c", "2", "--loglevel", "INFO"),
        2,
    ),
}
MODELS = sorted({server.model for server in APP_SERVERS.values()})
