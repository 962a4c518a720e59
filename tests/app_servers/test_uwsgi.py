"""uWSGI with its defaults: it loads the site, then forks in C, and none of Python's hooks runs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.app_servers.command_lines import APP_SERVERS
from tests.app_servers.conftest import total
from tests.app_servers.running import serving, wait_until
from tests.fault_proxy import FaultProxy
from tests.servers import Server

pytest.importorskip("pyuwsgi", reason="pip install pyuwsgi brings uWSGI")
REQUESTS = 160  # of thirty operations each


def uwsgi(port: int) -> Sequence[str]:
    return [*APP_SERVERS["uwsgi"].command(port), "--processes", "4"]


@pytest.mark.default_cases(1)
def test_workers__of_a_site_that_used_the_server_at_import(variables: dict[str, str], valkey: Server) -> None:
    with serving(uwsgi, {**variables, "AT_IMPORT": "verify"}) as running:
        answers = running.ask_many([f"check?name={number}" for number in range(REQUESTS)])
        running.ask_many(["use"] * 100)
        running.stop()
    assert [answer for answer in answers if answer["wrong"]] == []
    assert len({answer["pid"] for answer in answers}) > 1
    assert total(valkey, "requests") == 100


@pytest.mark.default_cases(1)
def test_workers__forked_while_a_probe_was_under_way(valkey: Server, variables: dict[str, str], route: str) -> None:
    upstream = valkey.socket_path if route == "native" else int(variables["URL"].rpartition(":")[2])
    with FaultProxy(upstream) as proxy:
        proxy.blackhole()
        scheme = "redis" if route == "native" else "http"
        away = {**variables, "URL": f"{scheme}://127.0.0.1:{proxy.port}", "AT_IMPORT": "outage", "TIMEOUT": "0.5"}
        with serving(uwsgi, away) as running:
            proxy.heal()
            wait_until(running, lambda running: all(answer["is_up"] for answer in running.ask_many(["state"] * 40)))
