"""Run by scripts/sdk-suite: the suite in a folder, once over each server."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

project, work, *arguments = sys.argv[1:]
sys.path.insert(0, project)

from django_upstash.dev_server import LocalServer  # noqa: E402
from tests.servers import Server, ServerMissing, start_redis, start_valkey  # noqa: E402


def measure(start: AbstractContextManager[Server]) -> int:
    """Run the suite over a server; return pytest's exit code."""
    with start as behind, LocalServer(behind.url) as local:
        told = dict(line.split(":", 1) for line in behind.call("INFO", "server").decode().splitlines() if ":" in line)
        version = told.get("valkey_version") or told["redis_version"]
        print(f"=== {behind.program.name} {version}", flush=True)
        command = [Path(work, "venv/bin/python"), "-m", "pytest", "-q", "--tb=no", "-rfE", "-p", "no:cacheprovider"]
        return subprocess.run([*command, *arguments, "tests"], cwd=work, env={**os.environ, **local.env}).returncode


def main() -> int:
    codes = [measure(start_valkey())]
    try:
        codes.append(measure(start_redis()))
    except ServerMissing as error:
        print(error)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
