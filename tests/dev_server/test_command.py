from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from django_upstash.dev_server import LocalServer
from tests.dev_server.conftest import Client
from tests.servers import Server, start_valkey


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command and yield its process and what it prints when it is ready."""
    command = [sys.executable, "-m", "django", "upstash_local", "--port", "0", *arguments]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.django_settings"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout
            yield process, "".join(takewhile(lambda line: line != "Ctrl-C ends it.\n", process.stdout))
        finally:
            process.kill()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_command__serves_until_it_is_told_to_end(valkey: Server, ending: signal.Signals) -> None:
    with running("--redis", valkey.url) as (process, printed):
        variables = dict(re.findall(r"^(UPSTASH_\w+)=(\S+)$", printed, re.MULTILINE))
        server = LocalServer(valkey.url, token=variables["UPSTASH_REDIS_REST_TOKEN"])
        server._port = int(variables["UPSTASH_REDIS_REST_URL"].rpartition(":")[2])
        with Client(server) as client:
            assert client.command("PING").result == "PONG"
        assert f'curl -H "Authorization: Bearer $UPSTASH_REDIS_REST_TOKEN" {server.url}/_local/meter' in printed

        process.send_signal(ending)
        assert process.wait(10) == 0
        assert process.stderr
        assert process.stderr.read() == ""


def test_command__shows_its_token_and_not_the_password_of_the_redis() -> None:
    with start_valkey(requirepass="backend-secret") as valkey:
        url = valkey.tcp_url.replace("redis://", "redis://:backend-secret@")
        with running("--redis", url, "--token", "m'ine") as (_, printed):
            assert "UPSTASH_REDIS_REST_TOKEN='m'\"'\"'ine'\n" in printed
            assert f"over the Redis at redis://127.0.0.1:{valkey.port}." in printed
            assert "backend-secret" not in printed


def test_command__port_in_use(valkey: Server, server: LocalServer) -> None:
    port = server.url.rpartition(":")[2]

    with pytest.raises(CommandError, match=f"^Port {port} of 127.0.0.1 is in use; end what uses it, or choose another"):
        call_command("upstash_local", "--redis", valkey.url, "--port", port)


def test_command__no_redis() -> None:
    sentence = r"^Cannot reach the Redis at unix:///nosuch.sock: .*\. Start it, or give another address with --redis\.$"

    with pytest.raises(CommandError, match=sentence):
        call_command("upstash_local", "--redis", "unix:///nosuch.sock", "--port", "0")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--redis", "http://localhost"], "That is not the address of a Redis; give one such as redis://"),
        (["--host", "0.0.0.0"], "listens on loopback addresses only"),
        (["--host", "127.0.0.77", "--redis", "unix:///nosuch.sock"], "Cannot reach the Redis"),
        (["--port", "http"], "'http' is not a port; give a number from 0 to 65535."),
        (["--port", "70000"], "'70000' is not a port"),
        (["--token", ""], "A token consists of ASCII"),
        (["--token", "with space"], "A token consists of ASCII"),
    ],
)
def test_command__bad_arguments(valkey: Server, arguments: list[str], sentence: str) -> None:
    with pytest.raises(CommandError, match=re.escape(sentence)):
        call_command("upstash_local", *(["--redis", valkey.url] if "--redis" not in arguments else []), *arguments)


def test_command__over_the_embedded_server(tmp_path: Path) -> None:
    with running("--redis", f"embedded://{tmp_path}/embedded") as (process, printed):
        assert f"over the Redis at unix://{tmp_path}/embedded/valkey.sock." in printed
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("url", "sentence"),
    [("embedded://host", "embedded"), ("embedded:///proc/nosuch", "The embedded server of /proc/nosuch did not start")],
)
def test_command__embedded_server_that_cannot_be(url: str, sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        call_command("upstash_local", "--redis", url, "--port", "0")
