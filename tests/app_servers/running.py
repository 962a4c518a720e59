"""Starting an app server with ``site.py``, asking it from many threads, and stopping it as its supervisor would."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
_opener = build_opener(ProxyHandler({}))


class Running:
    """An app server that answers."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path, environment: dict[str, str]) -> None:
        self.process = process
        self.environment = environment
        self.port = port
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def ask(self, path: str) -> dict[str, Any]:
        """Return the JSON of a page; raise ``OSError`` where the server answers otherwise, or not at all."""
        with _opener.open(f"http://127.0.0.1:{self.port}/{path}", timeout=PATIENCE) as response:
            found: dict[str, Any] = json.load(response)
        return found

    def ask_many(self, paths: Sequence[str], threads: int = 8) -> list[dict[str, Any]]:
        """Return the answers to all, asked from some threads at once."""
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self.ask, paths))

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def signal_all(self, number: int) -> None:
        """Send a signal to all processes of the server, if any are left."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


@contextmanager
def serving(
    command: Callable[[int], Sequence[str]],
    variables: dict[str, str],
    *,
    is_up: Callable[[Running], object] | None = None,
) -> Iterator[Running]:
    """Run the command of an app server on a free port until the end of the block; ``is_up`` raises until it is."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("wb") as log:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default", **variables}
        environment.pop("DJANGO_SETTINGS_MODULE", None)
        process = subprocess.Popen(
            command(port), cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        running = Running(process, port, Path(log.name), environment)
        try:
            wait_until(running, is_up or (lambda running: running.ask("state")))
            yield running
        finally:
            running.signal_all(signal.SIGKILL)
            process.wait(PATIENCE)


def wait_until(running: Running, is_so: Callable[[Running], object]) -> None:
    """Return once a function no longer raises ``OSError`` and returns something true."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if is_so(running):
                return
        except OSError:
            pass
        if running.process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"The server does not answer as it should; it said:\n{running.log}")
        time.sleep(0.05)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]
