"""What the tests of the diagnosis share: an error made on the wire, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from django_upstash.connections import Connection
from django_upstash.dev_server import LocalServer
from django_upstash.diagnostics.diagnosis import diagnose
from django_upstash.diagnostics.health_check import limited
from django_upstash.operations import command
from django_upstash.settings.conf import make_settings

# For servers that say nothing; the others are given the time that a busy machine takes.
BRIEF = 0.3
PATIENT = 5.0
TOKEN = "token-SECRET"
PASSWORD = "password-SECRET"


def diagnosis_of(url: str, *arguments: Any, within: float = PATIENT, **entry: Any) -> str:
    """Return what is said of the error that a command, PING if none is given, ends in."""
    if url.startswith("http"):
        entry.setdefault("TOKEN", TOKEN)
    settings = limited(make_settings("default", {"URL": url, **entry}), within)
    connection = Connection(settings)
    try:
        connection.run(command(*(arguments or ("PING",))))
    except Exception as error:
        said = str(diagnose(error, settings))
        assert "SECRET" not in said
        return said
    finally:
        connection.close()
    pytest.fail("The command succeeded.")


def port_of(server: LocalServer) -> int:
    port = make_settings("x", {"URL": server.url, "TOKEN": server.token}).parts.port
    assert port is not None
    return port
