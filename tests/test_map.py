"""docs/architecture.md names the functions that a ``cache.get`` passes on its way to the socket."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from tests.test_architecture import PACKAGE, ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def passed_functions(call: Callable[[], object]) -> list[tuple[str, str]]:
    """Return the functions of the package that a call passes, with their files, in order."""
    passed: list[tuple[str, str]] = []

    def note(frame: FrameType, event: str, argument: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            passed.append((frame.f_code.co_qualname, path.relative_to(PACKAGE).as_posix()))

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return passed


def test_path__of_a_get_is_the_one_of_the_page(make_cache: Callable[..., Any]) -> None:
    path = PAGE.partition("## From `cache.get` to the socket")[2].partition("\n## ")[0]
    told = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", path, re.MULTILINE)
    cache = make_cache("native", OPTIONS={})
    cache.set("k", 1)
    cache.get("k")
    passed = iter(passed_functions(lambda: cache.get("k")))
    assert len(told) > 10
    assert [step for step in told if step not in passed] == []  # each after the one before


def test_folders__are_all_on_the_page() -> None:
    table = PAGE.partition("| Folder or module |")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([a-z_]+)(?:\.py)?`", table))
    assert {path.stem for path in PACKAGE.iterdir() if not path.name.startswith(("_", "py."))} <= named


def test_contributing__names_folders_and_files_that_exist() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\btests/[a-z_]+(?:/[a-z_]+\.py|\.py)?", page))
    assert len(named) > 15
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
