from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from django.core.management import CommandError, call_command

from django_upstash.dev_server import LocalServer
from tests.diagnostics.impostors import http, impostor
from tests.fault_proxy import FaultProxy, TLSProxy
from tests.management.calls import failing_health, health
from tests.servers import Server, start_valkey

ROOT = Path(__file__).resolve().parent.parent.parent
SECRETS = ("tokenSECRET", "passwordSECRET", "userSECRET")
MAIN = """
import json, sys
from django.conf import settings
from django.core.management import execute_from_command_line
settings.configure(SECRET_KEY="x", DEBUG=True, INSTALLED_APPS=["django_upstash"], UPSTASH=json.loads(sys.argv.pop(1)))
execute_from_command_line(sys.argv)
"""

Upstash: TypeAlias = dict[str, dict[str, Any]]


def line_of(command: list[str], upstash: Upstash) -> list[str]:
    return [sys.executable, "-c", MAIN, json.dumps(upstash), "redis_health", *command]


def ran(upstash: Upstash, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(line_of([*command], upstash), capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.fixture
def two(upstash: Upstash) -> Upstash:
    """One connection per route, and none that fails."""
    del upstash["embedded"]
    return upstash


# Exit codes, as a process gives them.


def test_exit_code__0_of_a_healthy_server(two: Upstash) -> None:
    done = ran(two, "--ping")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"OK native: [\d.]+ ms\nOK rest: [\d.]+ ms\n", done.stdout)


def test_exit_code__1_of_an_unhealthy_one(two: Upstash) -> None:
    two["rest"]["TOKEN"] = "wrong"
    done = ran(two)
    assert (done.returncode, done.stderr) == (1, "CommandError: Unhealthy: rest.\n")


@pytest.mark.parametrize(
    ("upstash_setting", "arguments", "said"),
    [
        ({"default": {"URL": "redis//127.0.0.1"}}, [], "Misconfigured or unhealthy: default."),
        ({}, [], "UPSTASH names no connection"),
        ({"default": {"URL": "redis://127.0.0.1"}}, ["--nonsense"], "unrecognized arguments: --nonsense"),
        ({"default": {"URL": "redis://127.0.0.1"}}, ["key"], "the following arguments are required: name"),
    ],
)
def test_exit_code__2_of_mistakes(upstash_setting: Any, arguments: list[str], said: str) -> None:
    done = ran(upstash_setting, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_watch__repeats_until_interrupted_and_exits_as_the_last_run(two: Upstash) -> None:
    line = line_of(["native", "--json", "--watch", "0.01"], two)
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        documents = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert [document["status"] for document in documents] == ["ok"] * 3
    assert (process.returncode, errors) == (0, "")


def test_progress__is_shown_on_a_terminal_only(two: Upstash) -> None:
    line = line_of(["keys", "native"], two)
    ours, theirs = pty.openpty()
    shown = subprocess.run(line, stdout=subprocess.PIPE, stderr=theirs, text=True, cwd=ROOT, check=True)
    os.close(theirs)
    on_terminal = os.read(ours, 1000).decode()
    os.close(ours)
    assert "0 of 0 keys …" in on_terminal
    assert on_terminal.endswith("\r\x1b[K")
    assert "\x1b" not in shown.stdout
    assert subprocess.run(line, capture_output=True, text=True, cwd=ROOT, check=True).stderr == ""


# The overview.


def test_overview__of_healthy_connections(two: Upstash, local_server: LocalServer) -> None:
    said = health()
    assert re.search(r"^Valkey [\d.]+ · native · native · unix://", said, re.MULTILINE)
    assert re.search(rf"^Upstash [\d.]+ · rest · REST · {local_server.url} \(token ••••\)$", said, re.MULTILINE)
    assert re.search(r"^  OK    connect      PING +[\d.]+ ms$", said, re.MULTILINE)
    assert re.search(r"10 checks: 10 ok, 0 warnings, 0 failed in 0\.\d\d s \(\d+ requests, 1\d commands\)", said)
    assert "times as fast as" in said.splitlines()[-1]


def test_overview__of_the_named_connections_only(two: Upstash) -> None:
    said = health("native", "native")
    assert said.count(" · native · ") == 1
    assert "REST ·" not in said


def test_overview__names_cause_and_next_step(two: Upstash) -> None:
    two["rest"]["TOKEN"] = "wrong"
    code, message, said = failing_health()
    assert (code, message) == (1, "Unhealthy: rest.")
    assert "  FAIL  connect  " in said
    assert re.search(r"does not accept the token\.\n {17}Copy UPSTASH_REDIS_REST_TOKEN", said)
    assert " · native · native · " in said


def test_overview__shows_mistakes_in_the_settings_by_their_id(two: Upstash) -> None:
    two["rest"]["TIMEOUT"] = -1
    code, message, said = failing_health()
    assert (code, message) == (2, "Misconfigured or unhealthy: rest.")
    assert "rest · misconfigured\n  FAIL  settings  UPSTASH['rest'][\"TIMEOUT\"] must be" in said
    assert "[django_upstash.E021]" in said


def test_overview__embedded_server_outside_development(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.UPSTASH = {"default": {"URL": "embedded://"}}
    monkeypatch.setattr("django_upstash.settings.conf.embedded_allowed", lambda: False)
    code, _, said = failing_health()
    assert code == 2
    assert "[django_upstash.E027]" in said


def test_fail_level__makes_warnings_count(two: Upstash, settings: Any) -> None:
    backend = "django_upstash.cache.UpstashCache"
    settings.CACHES = {name: {"BACKEND": backend, "LOCATION": "native"} for name in ("default", "other")}
    assert "WARN  settings" in health("native")
    assert failing_health("native", fail_level="WARNING")[0] == 1


def test_read_only__writes_nothing(two: Upstash, valkey: Server) -> None:
    with valkey.counting() as counted:
        health("native", "--read-only")
    assert set(counted.by_command) == {"ping", "info", "dbsize"}


def test_ping__is_one_command(two: Upstash, valkey: Server) -> None:
    with valkey.counting() as counted:
        health("native", ping=True)
    assert counted.by_command == {"ping": 1}
    assert counted.connections == 1


def test_ping__failing(two: Upstash) -> None:
    two["rest"]["TOKEN"] = "wrong"
    code, _, said = failing_health("rest", "--ping")
    assert code == 1
    assert said.startswith("FAIL rest: http://127.0.0.1:")
    assert len(said.splitlines()) == 1


def test_verbosity_0__is_silent(two: Upstash) -> None:
    assert health("native", verbosity=0) == ""
    two["rest"]["TOKEN"] = "wrong"
    done = ran(two, "rest", "-v", "0")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_json__is_one_object(two: Upstash) -> None:
    document = json.loads(health("--json"))
    assert (document["schema"], document["status"]) == (1, "ok")
    native, rest = document["connections"]
    assert (native["alias"], native["route"], native["status"]) == ("native", "native", "ok")
    assert native["url"].startswith("unix://")
    assert rest["requests"] in (13, 14)  # one more where the server has not seen the script
    assert rest["server"]["software"] == "Upstash"
    assert set(rest["checks"][0]) == {"name", "status", "latency_ms", "message", "next_step", "id"}
    assert rest["checks"][0]["latency_ms"] > 0


def test_json__of_a_failure(two: Upstash) -> None:
    two["rest"]["TOKEN"] = "wrong"
    two["native"]["URL"] = "redis//"
    code, _, said = failing_health("--json")
    document = json.loads(said)
    assert (code, document["status"]) == (2, "fail")
    assert [connection["checks"][0]["id"] for connection in document["connections"]] == ["django_upstash.E006", None]


def test_color__marks_the_words_and_can_be_left_out(two: Upstash) -> None:
    out = io.StringIO()
    call_command("redis_health", "native", stdout=out, force_color=True)
    assert "\x1b[32;1mOK  \x1b[0m  connect" in out.getvalue()
    assert "\x1b" not in health("native")


def test_output__survives_a_terminal_without_unicode(two: Upstash) -> None:
    line = line_of(["native"], two)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\xb7 native" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (["native"], {"timeout": 0}, "--timeout must be more than 0 and at most 600 seconds."),
        (["native"], {"timeout": "soon"}, "--timeout must be more than 0 and at most 600 seconds."),
        (["native"], {"pings": 0}, "--pings must be from 1 to 1000."),
        (["native"], {"watch": 0}, "--watch must be more than 0 seconds and at most a day."),
        (["native"], {"match": "x"}, "match: not for this part of the command."),
        (["nosuch"], {}, "UPSTASH has no connection 'nosuch'; it has 'native', 'rest'."),
        (["--", "keys"], {}, "UPSTASH has no connection 'keys'; it has 'native', 'rest'."),
        (["--nonsense"], {}, "Unrecognized arguments: --nonsense."),
        (["--timeout", "x"], {}, "Argument --timeout: invalid float value: 'x'."),
        (["keys"], {}, "Name one connection: UPSTASH has 'native', 'rest' and none called 'default'."),
        (["keys", "native"], {"limit": 0}, "--limit must be from 1 to 10,000,000 keys."),
        (["keys", "native"], {"cursor": "x"}, "--cursor must be the number that an earlier run printed."),
        (["keys", "native"], {"timeout": -1}, "--timeout must be more than 0 and at most 600 seconds."),
        (["keys", "nosuch"], {}, "UPSTASH has no connection 'nosuch'; it has 'native', 'rest'."),
        (["key", "k", "nosuch"], {}, "UPSTASH has no connection 'nosuch'; it has 'native', 'rest'."),
        (["key"], {}, "The following arguments are required: name."),
    ],
)
def test_mistakes__are_one_sentence_for_callers_too(
    two: Upstash, arguments: list[str], options: dict[str, Any], said: str
) -> None:
    code, message, _ = failing_health(*arguments, **options)
    assert code == 2
    assert message.startswith(said.removesuffix("."))


def test_sections__give_way_to_a_connection_of_their_name(two: Upstash) -> None:
    two["keys"] = two.pop("native")
    assert " · keys · native · " in health("--", "keys")
    assert health("keys", "keys").startswith("Scanned 0 of 0 keys")


# Secrets.


def entry_with_secrets(url: str, port: int) -> dict[str, Any]:
    if url.startswith("http"):
        return {"URL": f"{url}127.0.0.1:{port}", "TOKEN": "tokenSECRET"}
    return {"URL": f"{url}userSECRET:passwordSECRET@127.0.0.1:{port}"}


Port: TypeAlias = Callable[[str], Iterator[int]]


def _refused(server: Server) -> Iterator[int]:
    with FaultProxy(server.port) as proxy:
        proxy.refuse()
        yield proxy.port


def _silent(server: Server) -> Iterator[int]:
    with FaultProxy(server.port) as proxy:
        proxy.blackhole()
        yield proxy.port


def _with_tls(server: Server) -> Iterator[int]:
    with TLSProxy(server.port) as proxy:
        yield proxy.port


def _repeating(server: Server) -> Iterator[int]:
    with impostor(b"-ERR passwordSECRET\r\n") as port:
        yield port


def _web(server: Server) -> Iterator[int]:
    with impostor(http("200 OK", "tokenSECRET passwordSECRET")) as port:
        yield port


def _refusing_rest(server: Server) -> Iterator[int]:
    body = json.dumps({"error": "WRONGPASS tokenSECRET is wrong"})
    with impostor(http("401 Unauthorized", body)) as port:
        yield port


def _guarded(server: Server) -> Iterator[int]:
    with start_valkey(requirepass="right") as guarded:
        yield guarded.port


PORTS = (_refused, _silent, _with_tls, _repeating, _web, _refusing_rest, _guarded)


@pytest.mark.default_cases(4)
@pytest.mark.parametrize("scheme", ["redis://", "rediss://", "http://", "https://"])
@pytest.mark.parametrize("port", PORTS)
def test_secrets__appear_nowhere(port: Any, scheme: str, valkey: Server, settings: Any, caplog: Any) -> None:
    for number in port(valkey):
        settings.UPSTASH = {"default": entry_with_secrets(scheme, number)}
        written = []
        for arguments in ([], ["--json"], ["--ping"], ["keys"], ["keys", "--json"], ["key", "k"]):
            out, err = io.StringIO(), io.StringIO()
            with pytest.raises(CommandError) as caught:
                call_command("redis_health", *arguments, timeout=0.15, stdout=out, stderr=err)
            assert caught.value.returncode == 1
            written += [out.getvalue(), err.getvalue(), str(caught.value), caplog.text]
        assert [text for text in written for secret in SECRETS if secret in text] == []


@pytest.mark.parametrize(
    "entry",
    [
        {"URL": "redis//userSECRET:passwordSECRET@127.0.0.1"},
        {"URL": "rediss://userSECRET:password/SECRET@127.0.0.1"},
        {"URL": "redis://:passwordSECRET@127.0.0.1:passwordSECRET"},
        {"URL": "https://127.0.0.1", "TOKEN": "'tokenSECRET'"},
        {"URL": "https://127.0.0.1", "TOKEN": "tokenSECRET", "PASSWORD": "passwordSECRET"},
    ],
)
def test_secrets__appear_in_no_mistake(entry: dict[str, Any], settings: Any) -> None:
    settings.UPSTASH = {"default": entry}
    for arguments in ([], ["--json"], ["keys"], ["key", "k"]):
        code, message, said = failing_health(*arguments)
        assert code == 2
        assert "SECRET" not in message + said


def test_secrets__of_healthy_connections_do_not_show(two: Upstash, local_server: LocalServer) -> None:
    done = ran(two)
    assert done.returncode == 0
    assert local_server.token not in done.stdout + done.stderr
    assert local_server.token[-4:] not in done.stdout
