"""What a process has counted is written when it ends, whichever way its server has of saying so."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec

import pytest

from django_upstash.contrib.celery import celery_broker_url
from tests.app_servers.command_lines import APP_SERVERS, CELERY, TASKS
from tests.app_servers.conftest import statistics, total
from tests.app_servers.running import ROOT, python, serving, wait_until
from tests.servers import Server

needs_uvicorn = pytest.mark.skipif(find_spec("uvicorn") is None, reason="pip install uvicorn")
needs_celery = pytest.mark.skipif(find_spec("celery") is None, reason="pip install celery")
uvicorn = APP_SERVERS["uvicorn asyncio"].command
celery = APP_SERVERS[CELERY].command


@pytest.mark.default_cases(1)
@needs_uvicorn
def test_uvicorn__writes_everything_at_shutdown(variables: dict[str, str], valkey: Server) -> None:
    with serving(uvicorn, variables) as running:
        running.ask_many(["use"] * 51)
        running.stop()
    assert (total(valkey, "requests"), statistics(valkey)) == (51, 51)


@pytest.mark.default_cases(1)
@needs_uvicorn
def test_uvicorn__killed_loses_less_than_flush_count(variables: dict[str, str], valkey: Server) -> None:
    with serving(uvicorn, variables) as running:
        running.ask_many(["use"] * 51, threads=1)
        running.stop(signal.SIGKILL)
    assert 51 - 7 < total(valkey, "requests") <= 51


@pytest.mark.default_cases(1)
@needs_uvicorn
def test_uvicorn__writes_by_age_at_the_end_of_a_request(variables: dict[str, str], valkey: Server) -> None:
    with serving(uvicorn, {**variables, "FLUSH_SECONDS": "0"}) as running:
        running.ask_many(["use"] * 3)
        wait_until(running, lambda running: total(valkey, "requests") == 3)


@pytest.mark.slow
@needs_celery
def test_celery__prefork_children_write_everything(variables: dict[str, str], valkey: Server) -> None:
    broker = {**variables, "BROKER": celery_broker_url(upstash={"default": {"URL": valkey.url}})}
    send = f"from {TASKS} import use; [use.delay() for _ in range(30)]"
    with serving(celery, broker, is_up=lambda running: "ready." in running.log) as running:
        subprocess.run(python("-c", send), cwd=ROOT, env=running.environment, check=True)
        wait_until(running, lambda running: valkey.call("GET", "done") == b"30")
        running.stop()
    assert (total(valkey, "tasks"), statistics(valkey)) == (30, 30)


@needs_celery
@pytest.mark.slow
def test_celery__children_that_live_for_a_few_tasks(variables: dict[str, str], valkey: Server) -> None:
    broker = {**variables, "BROKER": celery_broker_url(upstash={"default": {"URL": valkey.url}})}
    send = f"from {TASKS} import use; [use.delay() for _ in range(20)]"

    def recycling(port: int) -> Sequence[str]:
        return [*celery(port), "--max-tasks-per-child", "5"]

    with serving(recycling, broker, is_up=lambda running: "ready." in running.log) as running:
        subprocess.run(python("-c", send), cwd=ROOT, env=running.environment, check=True)
        wait_until(running, lambda running: valkey.call("GET", "done") == b"20")
        running.stop()
    assert total(valkey, "tasks") == 20


AT_THEIR_END = ["gunicorn gthread", "granian asgi", "hypercorn asyncio", "daphne", "uvicorn uvloop"]
NEVER = ["granian wsgi"]


def needed(name: str) -> None:
    """Skip where a package that the server needs is not here."""
    if missing := APP_SERVERS[name].missing:
        pytest.skip(missing)


@pytest.mark.slow
@pytest.mark.parametrize("name", AT_THEIR_END)
def test_server__writes_everything_at_its_end(name: str, variables: dict[str, str], valkey: Server) -> None:
    needed(name)
    with serving(APP_SERVERS[name].command, variables) as running:
        running.ask_many(["use"] * 51)
        running.stop()
    assert (total(valkey, "requests"), statistics(valkey)) == (51, 51)


@pytest.mark.slow
@pytest.mark.parametrize("name", NEVER)
def test_server__that_ends_without_a_word_loses_less_than_flush_count(
    name: str, variables: dict[str, str], valkey: Server
) -> None:
    needed(name)
    with serving(APP_SERVERS[name].command, variables) as running:
        running.ask_many(["use"] * 51, threads=1)
        running.stop()
    assert 51 - 7 * APP_SERVERS[name].workers < total(valkey, "requests") <= 51


@pytest.mark.slow
@pytest.mark.parametrize("name", NEVER)
def test_server__that_ends_without_a_word_writes_each_request(
    name: str, variables: dict[str, str], valkey: Server
) -> None:
    needed(name)
    with serving(APP_SERVERS[name].command, {**variables, "FLUSH_SECONDS": "0"}) as running:
        running.ask_many(["use"] * 51)
        wait_until(running, lambda running: total(valkey, "requests") == 51)
        running.stop()
    assert total(valkey, "requests") == 51
