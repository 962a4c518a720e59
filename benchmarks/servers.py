"""The servers measured against, started here, on the same core as the client."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from django_upstash.dev_server import LocalServer

_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class RestAddress:
    """Where the local REST server listens, and its process."""

    pid: int
    url: str
    token: str = field(repr=False)

    def meter(self) -> dict[str, Any]:
        """Return what the server has counted."""
        request = Request(f"{self.url}/_local/meter", headers={"Authorization": f"Bearer {self.token}"})
        with urlopen(request) as response:
            counted: dict[str, Any] = json.load(response)
        return counted


@contextmanager
def start_rest_server(redis_url: str) -> Iterator[RestAddress]:
    """Run the local REST server in a process of its own, so that its CPU time is not taken for the client's."""
    command = [sys.executable, "-m", "benchmarks.servers", redis_url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield RestAddress(process.pid, *json.loads(process.stdout.readline()))
        finally:
            process.stdin.close()  # tells it to end


def _serve(redis_url: str) -> None:
    with LocalServer(redis_url) as server:
        print(json.dumps([server.url, server.token]), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    _serve(sys.argv[1])
