"""
A rolling deploy and a rollback: what commit 01c2f78 has stored is read, and it reads what is stored now.

``stored.json`` is what that commit wrote and then read. Each side runs in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from django_upstash.dev_server import LocalServer
from tests.compatibility.stored import FIXTURE, PROJECT, dumped, load, run_features, shape
from tests.servers import Server

RECORDED_COMMIT = "01c2f78"
# Of a counter that is stored in another form, the other version sees nothing used.
LIMITS = {"window": 10, "sliding": 10, "bucket": 10, "together": 10, "counted": 10}


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def address(route: str, valkey: Server, local_server: LocalServer) -> tuple[str, ...]:
    """The address of an empty server, for a route."""
    valkey.call("FLUSHALL")
    return (valkey.url,) if route == "native" else (local_server.url, local_server.token)


@pytest.fixture(scope="session")
def recordings() -> Any:
    """What the recorded commit stored and read, by route."""
    return json.loads(FIXTURE.read_text())


@pytest.fixture
def recorded(recordings: Any, route: str) -> Any:
    return recordings[route]


@pytest.fixture(scope="session")
def release_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the package as it was at the recorded commit."""
    folder = tmp_path_factory.mktemp("before")
    archive = folder / "package.tar"
    taking = ["git", "archive", "-o", str(archive), RECORDED_COMMIT, "django_upstash"]
    try:
        subprocess.run(taking, cwd=PROJECT, check=True, capture_output=True)
        subprocess.run(["tar", "-xf", str(archive)], cwd=folder, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"Commit {RECORDED_COMMIT} is not at hand here: {error}.")
    return folder


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("stored_by", ["native", "rest"])
def test_what_was_stored__is_read(
    valkey: Server, address: tuple[str, ...], recordings: dict[str, Any], stored_by: str
) -> None:
    recorded = recordings[stored_by]
    load(valkey, recorded)
    assert _comparable(run_features(PROJECT, "read", *address)) == _comparable(recorded["read"])


@pytest.mark.default_cases(1)
def test_what_is_stored__has_the_recorded_form(
    valkey: Server, address: tuple[str, ...], recorded: dict[str, Any]
) -> None:
    run_features(PROJECT, "write", *address)
    assert _shapes(dumped(valkey)) == _shapes(recorded["keys"])


@pytest.mark.slow
def test_what_is_stored__is_read_by_the_release_before(
    valkey: Server, address: tuple[str, ...], recorded: dict[str, Any], release_before: Path
) -> None:
    run_features(PROJECT, "write", *address)
    found = run_features(release_before, "read", valkey.url)
    assert _without_limits(found) == _without_limits(recorded["read"])
    for scope, unused in LIMITS.items():
        assert found["limits"][scope] in (recorded["read"]["limits"][scope], unused)


@pytest.mark.slow
def test_versions_in_turn__go_on_with_what_the_other_stored(
    valkey: Server, address: tuple[str, ...], recorded: dict[str, Any], release_before: Path
) -> None:
    load(valkey, recorded)
    for folder in (PROJECT, release_before, PROJECT):
        found = run_features(folder, "read", *address)
        assert found["sessions"] == recorded["read"]["sessions"]
        assert found["cache"] == recorded["read"]["cache"]


def _comparable(found: dict[str, Any]) -> dict[str, Any]:
    """Return what was read, with fencing numbers, which only ever grow, judged."""
    locks = found["locks"] | {"number": found["locks"]["number"] > 0}
    return found | {"locks": locks}


def _without_limits(found: dict[str, Any]) -> dict[str, Any]:
    return {name: what for name, what in _comparable(found).items() if name != "limits"}


def _shapes(keys: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return sorted({shape(entry) for entry in keys})
