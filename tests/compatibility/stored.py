"""
What a server holds, as JSON: every key with its type, its value and its lifetime in milliseconds.

``python -m tests.compatibility.stored FOLDER > tests/compatibility/stored.json``, run from the project's root, records
what the ``django_upstash`` in a folder stores and what it reads itself.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from django_upstash.dev_server import LocalServer
from tests.servers import Server, start_valkey

PROJECT = Path(__file__).resolve().parents[2]
FIXTURE = Path(__file__).with_name("stored.json")
_READING: dict[str, tuple[str, ...]] = {
    "string": ("GET",),
    "hash": ("HGETALL",),
    "set": ("SMEMBERS",),
    "zset": ("ZRANGE", "0", "-1", "WITHSCORES"),
}
_YEAR = 366 * 86_400
_PART = _YEAR * 1_000_000 // 50  # of a sliding window, in microseconds
_TIME = re.compile(r"(?<!\d)(\d{13}|\d{16})(?!\d)")  # milliseconds or microseconds since 1970


def dumped(server: Server) -> list[dict[str, Any]]:
    """Return all that a server holds."""
    return [_dumped(server, key) for key in sorted(server.call("KEYS", "*"))]


def _dumped(server: Server, key: bytes) -> dict[str, Any]:
    kind = server.call("TYPE", key).decode()
    reading, *options = _READING[kind]
    value = server.call(reading, key, *options)
    parts = [value] if kind == "string" else value
    lives = server.call("PTTL", key)
    return {"key": key.decode(), "type": kind, "value": [_as_json(part) for part in parts], "lives": max(lives, 0)}


def load(server: Server, recorded: Mapping[str, Any]) -> None:
    """Fill a server with what was recorded, as if that had been now: what is said about times is brought forward."""
    seconds = int(time.time()) - recorded["time"]
    for entry in recorded["keys"]:
        values = [_from_json(value) for value in entry["value"]]
        key = _key_brought_forward(entry["key"])
        if key.startswith(("ratelimit:", "breaker:", "breaker-")):
            values = [brought_forward(value.decode(), seconds).encode() for value in values]
        _store(server, key, entry["type"], values)
        if entry["lives"]:
            server.call("PEXPIRE", key, str(entry["lives"]))


def _store(server: Server, key: str, kind: str, values: Sequence[bytes]) -> None:
    if kind == "string":
        server.call("SET", key, *values)
    elif kind == "hash":
        server.call("HSET", key, *values)
    elif kind == "set":
        server.call("SADD", key, *values)
    else:
        pairs = zip(values[::2], values[1::2], strict=True)
        server.call("ZADD", key, *(part for member, score in pairs for part in (score, member)))


def brought_forward(text: str, seconds: int) -> str:
    """Return the state of a limit or of a breaker as it would be, had it been stored so many seconds later."""
    if re.fullmatch(r"\d{19}", text):  # of a window: its start, and its count in the last nine digits
        start = int(time.time()) // _YEAR * _YEAR
        return f"{start}{text[-9:]}"
    if ring := re.fullmatch(r"r\d+( .*)", text):
        return f"r{time.time_ns() // 1000 // _PART}{ring[1]}"

    def later(found: re.Match[str]) -> str:
        return str(int(found[1]) + seconds * (10**3 if len(found[1]) == 13 else 10**6))

    return _TIME.sub(later, text)


def _key_brought_forward(key: str) -> str:
    # Statistics are kept by stretches of five minutes.
    name, colon, _ = key.rpartition(":")
    if name.startswith("ratelimit-stats:"):
        return f"{name}{colon}{int(time.time()) // 300 * 300}"
    return key


def shape(entry: Mapping[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    """Return what two versions must agree on: a key, its type, and the form of what it holds."""
    key = re.sub(r"(usage:\{acme\}:from:|ratelimit-stats:default:).+", r"\1…", entry["key"])
    values = [_from_json(value) for value in entry["value"]]
    return key, entry["type"], tuple(sorted({_shape(key, value) for value in values}))


def _shape(key: str, value: bytes) -> str:
    if not value.isascii():
        return value[:2].hex()  # the mark of a signature and its format, or the beginning of another format
    text = value.decode()
    letter = text[:1] if key.startswith("ratelimit:") and text[:1].isalpha() else ""
    if sealed := re.match(r"(?:[pd]:)?[sbe]1\.", text):
        return sealed[0]
    form = re.sub(r"~(?: ~)*", "~", re.sub(r"[\w.%~+/=-]+", "~", text))
    # Statistics are lines, and each version passes over those that it does not know.
    return letter + (re.sub(r"(?:~\n)+", "~\n", form) if key.startswith("ratelimit-stats:") else form)


def _as_json(value: bytes) -> str | dict[str, str]:
    if value.isascii():
        return value.decode()
    return {"base64": base64.b64encode(value).decode()}


def _from_json(value: str | dict[str, str]) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value["base64"])


def run_features(folder: Path, verb: str, *address: str) -> Any:
    """Let the ``django_upstash`` in a folder write what it stores, or return what it reads."""
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{PROJECT}"}
    program = [sys.executable, "-P", "-W", "ignore", "-m", "tests.compatibility.features", verb, *address]
    ran = subprocess.run(program, env=environment, capture_output=True, text=True, cwd=folder)
    if ran.returncode:
        raise RuntimeError(ran.stderr)
    return json.loads(ran.stdout) if ran.stdout else None


def record(folder: Path) -> dict[str, Any]:
    """Return what the ``django_upstash`` in a folder stores by each route, and what it reads of that."""
    with start_valkey() as server, LocalServer(server.url) as rest:
        routes = {"native": (server.url,), "rest": (rest.url, rest.token)}
        return {route: _recorded(folder, server, address) for route, address in routes.items()}


def _recorded(folder: Path, server: Server, address: tuple[str, ...]) -> dict[str, Any]:
    server.call("FLUSHALL")
    moment = int(time.time())
    run_features(folder, "write", *address)
    keys = dumped(server)
    return {"time": moment, "keys": keys, "read": run_features(folder, "read", *address)}


if __name__ == "__main__":
    json.dump(record(Path(sys.argv[1])), sys.stdout, indent=1, sort_keys=True)
