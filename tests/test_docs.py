"""
The pages say what is so: their Python runs, and the commands they show exist.

Blocks marked ``python`` run in order, one namespace per page, over the connections ``default`` (native) and ``rest``.
Blocks marked ``python no-run`` must compile. In ``console`` blocks, ``$ python manage.py …`` lines must parse.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

from django_upstash.dev_server import LocalServer
from tests.servers import Server

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)[^)]*\)")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path, language: str) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the words after the language, and the text of each block in a language."""
    text = page.read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        if block[1] == language:
            yield text[: block.start(3)].count("\n"), block[2].strip(), block[3]


def compiled(page: Path, line: int, source: str) -> CodeType:
    """Compile a block so that a traceback names the page and its line."""
    code = compile("\n" * line + source, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    assert isinstance(code, CodeType)
    return code


@pytest.fixture
def documented(settings: Any, valkey: Server, local_server: LocalServer) -> Iterator[None]:
    """Configure what the pages assume; what they put into the environment ends with them."""
    before = dict(os.environ)
    backend = "django_upstash.cache.UpstashCache"
    valkey.call("FLUSHALL")
    settings.UPSTASH = {
        "default": {"URL": valkey.url},
        "rest": {"URL": local_server.url, "TOKEN": local_server.token},
    }
    settings.CACHES = {alias: {"BACKEND": backend, "LOCATION": alias} for alias in settings.UPSTASH}
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.django_db
@pytest.mark.usefixtures("documented")
@pages
def test_python_blocks__run(page: Path) -> None:
    namespace: dict[str, Any] = {"__name__": page.stem}
    for line, words, source in blocks(page, "python"):
        assert words in {"", "no-run"}, f"{page.name}:{line} is marked {words!r}"
        code = compiled(page, line, source)
        if not words:
            assert not code.co_flags & inspect.CO_COROUTINE, f"{page.name}:{line} awaits outside a function"
            exec(code, namespace)


@pages
def test_console_blocks__call_commands_that_exist(page: Path) -> None:
    for _line, _words, text in blocks(page, "console"):
        for command in re.findall(r"^\$ python manage\.py (.+)$", text, re.MULTILINE):
            name, *arguments = shlex.split(command, comments=True)
            parse(name, arguments)


def parse(name: str, arguments: list[str]) -> None:
    app = get_commands()[name]
    loaded = app if isinstance(app, BaseCommand) else load_command_class(app, name)
    loaded.create_parser("manage.py", name).parse_args(arguments)


@pages
def test_links__lead_to_files(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_index__leads_to_every_page() -> None:
    index = ROOT / "docs" / "index.md"
    assert {page.name for page in PAGES[1:]} - {index.name} == set(LINK.findall(index.read_text(encoding="utf-8")))


def test_readme__is_short_and_begins_with_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    first_screen = readme.partition("\n## ")[0]

    assert len(readme.splitlines()) < 60
    assert re.findall(r"^scripts/\w+", first_screen, re.MULTILINE) == ["scripts/demo", "scripts/test"]


def names_of_ours(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("django_upstash"):
            yield from ((str(node.module), name.name) for name in node.names)


def test_names_in_the_docs__are_public() -> None:
    """A module whose names the pages or the example import says in ``__all__`` that they are public."""
    sources = [source for page in PAGES for _, _, source in blocks(page, "python")]
    sources += [path.read_text("utf-8") for path in (ROOT / "example_project").rglob("*.py")]
    told = {pair for source in sources for pair in names_of_ours(ast.parse(source))}
    public = {module: getattr(import_module(module), "__all__", ()) for module, _ in told}
    assert {(module, name) for module, name in told if name not in public[module]} == set()
