"""
The process that starts an embedded server and stops it after its last user. Run by path, needs nothing but Python.

    python -I -S embedded_supervisor.py FOLDER SERVER [ARGUMENT ...]

Each user holds a shared lock on ``users.lock`` for life, which the kernel releases however that life ends. Once the
keeper gets it exclusively, nobody is left. It holds ``keeper.lock`` itself, as the sign that somebody will do so.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

# Between looks at a development server's reloader, while nobody else is left.
_LOOK_EVERY = 0.5


def main() -> None:
    os.chdir(sys.argv[1])
    os.umask(0o077)
    users = os.open("users.lock", os.O_RDWR | os.O_CREAT, 0o600)
    keeper = os.open("keeper.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(keeper, fcntl.LOCK_EX | fcntl.LOCK_NB)  # free: one at a time looks, and starts a keeper
    _end_orphan()
    # Whoever started this waits for the parent only. By then the lock is held, and what answers is the server's own.
    if os.fork():
        os._exit(0)
    server = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL)
    signal.signal(signal.SIGTERM, lambda number, frame: server.terminate())
    threading.Thread(target=_stop_after_last_user, args=(users, server), daemon=True).start()
    server.wait()


def _end_orphan() -> None:
    """Stop a server whose keeper was killed: nobody else would."""
    with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        client.connect("valkey.sock")
        client.sendall(b"SHUTDOWN NOSAVE\r\n")
        while client.recv(1024):
            pass


def _stop_after_last_user(users: int, server: subprocess.Popen[bytes]) -> None:
    fcntl.flock(users, fcntl.LOCK_EX)
    while _has_reloader():
        fcntl.flock(users, fcntl.LOCK_UN)
        time.sleep(_LOOK_EVERY)
        fcntl.flock(users, fcntl.LOCK_EX)
    server.terminate()


def _has_reloader() -> bool:
    """Tell whether a development server's reloader lives: between two lives of its child there is no user."""
    # Not pathlib, which wants to know the folder's name: it may have been removed.
    pids = [int(name.partition("-")[2]) for name in os.listdir(".") if name.startswith("reloader-")]
    return any(_is_alive(pid) for pid in pids)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        os.unlink(f"reloader-{pid}")
        return False
    return True


if __name__ == "__main__":
    main()
