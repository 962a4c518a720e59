"""docs/architecture.md draws the layers of the package; imports go down them, and close no circle."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.servers import Server
from tests.sources import syntax_tree

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "django_upstash"
HTTP_CLIENTS = {"h11", "httpcore", "httptools", "httpx", "requests", "upstash_redis", "urllib3"}
REDIS_CLIENTS = {"django_redis", "redis"}
LONGEST_FILE = {"django_upstash": 350}
LONGEST_OTHER_FILE = 400
LONGEST_FUNCTION = 25
# From the ground up. A part may import those of its own layer and of all below.
LAYERS = (
    ("exceptions", "callbacks", "credentials", "features", "forks", "log", "flushing", "rendering", "version"),
    ("settings",),
    ("operations", "codecs"),
    ("wire",),
    ("connections", "adapters", "pubsub", "diagnostics", "models", "admin", "health"),
    ("cache", "sessions", "ratelimit", "breaker", "idempotency", "locks", "queues", "observability"),
    ("tenants", "tasks", "throttling"),
    ("dev_server", "contrib", "migrations", "management", "apps"),
)
CONFIGURE = """
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.sessions", "django_upstash"],
    SECRET_KEY="x",
    UPSTASH={{"default": {{"URL": {url!r}, "TOKEN": {token!r}}}}},
    CACHES={{"default": {{"BACKEND": "django_upstash.cache.UpstashCache", "LOCATION": "default"}}}},
)
django.setup()
"""
REFUSE_SOCKETS = """
import sys
def refuse(event, arguments):
    if event.startswith("socket."):
        raise AssertionError(f"{event} {arguments}")
sys.addaudithook(refuse)
"""
CHECK = "from django.core.checks import run_checks; run_checks()\n"
USE = "from django.core.cache import cache; cache.set('k', 1); assert cache.get('k') == 1\n"
REPORT = "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of_modules(*, for_annotations: bool = False) -> dict[str, set[str]]:
    """Return the arrows of the code, importing module → imported modules; on request those for annotations as well."""
    paths = {module_name(path): path for path in PACKAGE.rglob("*.py")}
    return {
        module: set(imported_modules(syntax_tree(path), for_annotations)) & paths.keys() - {module}
        for module, path in paths.items()
    }


def layer_of(module: str) -> int:
    part = module.split(".")[1]
    (layer,) = (number for number, parts in enumerate(LAYERS) if part in parts)
    return layer


def imported_modules(tree: ast.AST, for_annotations: bool = False) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if not for_annotations and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if is_ours(name.name))
        elif isinstance(node, ast.ImportFrom) and is_ours(node.module or ""):
            yield from (imported_module(str(node.module), name.name) for name in node.names)
        else:
            yield from imported_modules(node, for_annotations)


def imported_module(module: str, name: str) -> str:
    path = ROOT.joinpath(*module.split("."), name)
    return f"{module}.{name}" if path.is_dir() or path.with_suffix(".py").exists() else module


def is_ours(module: str) -> bool:
    return module.partition(".")[0] == "django_upstash"


def top_level_modules(code: str) -> set[str]:
    """Run code in a new interpreter and return what it has imported in the end."""
    ran = subprocess.run([sys.executable, "-c", code + REPORT], capture_output=True, text=True, cwd=ROOT, check=False)
    assert ran.returncode == 0, ran.stderr
    return set(json.loads(ran.stdout))


def configured(url: str) -> str:
    return CONFIGURE.format(url=url, token="secret" if url.startswith("https") else None)


def test_imports__close_no_circle() -> None:
    arrows = imports_of_modules(for_annotations=True)
    TopologicalSorter(arrows).prepare()  # raises CycleError, which names the modules


def test_imports__go_down_the_layers() -> None:
    upwards = {
        (importer, imported)
        for importer, modules in imports_of_modules().items()
        for imported in modules
        if PACKAGE.name not in (importer, imported)  # which holds nothing but names to import lazily
        and layer_of(imported) > layer_of(importer)
    }
    assert upwards == set()


def test_layers__are_those_of_the_page() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```layers\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    drawn = [re.split(r" {2,}", line.strip())[0].split() for line in block.splitlines()]
    assert drawn[::-1] == [list(layer) for layer in LAYERS]


def test_settings__are_read_by_conf_alone() -> None:
    readers = [path.name for path in PACKAGE.rglob("*.py") if "django.conf" in path.read_text(encoding="utf-8")]
    assert readers == ["conf.py"]


def test_module_names__say_what_is_inside() -> None:
    vague = {"utils", "util", "helpers", "core", "common", "misc"}
    assert [path for path in PACKAGE.rglob("*") if path.stem in vague] == []


@pytest.mark.parametrize("folder", ["django_upstash", "example_project", "benchmarks", "tests"])
def test_files__are_short(folder: str) -> None:
    most = LONGEST_FILE.get(folder, LONGEST_OTHER_FILE)
    lengths = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / folder).rglob("*.py")}
    assert {path: length for path, length in lengths.items() if length > most} == {}


def test_class_names__are_unique() -> None:
    """Public nouns of two features may have one name, and Django asks for the name of a command."""
    names = Counter(
        node.name for path in PACKAGE.rglob("*.py") for node in syntax_tree(path).body if isinstance(node, ast.ClassDef)
    )
    assert {name for name, count in names.items() if count > 1} == {"Command", "Message", "State", "Stats"}


def test_functions__are_short() -> None:
    lengths = {
        f"{path.relative_to(PACKAGE)}: {node.name}": node.end_lineno - node.lineno + 1  # type: ignore[operator]
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(syntax_tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}


urls = pytest.mark.parametrize("url", ["rediss://db.upstash.io:6379", "https://db.upstash.io", "embedded://"])


@urls
def test_setup__imports_no_client(url: str) -> None:
    assert top_level_modules(configured(url)) & (REDIS_CLIENTS | HTTP_CLIENTS) == set()


@urls
def test_setup_and_checks__open_no_socket(url: str) -> None:
    top_level_modules(REFUSE_SOCKETS + configured(url) + CHECK)


def test_native_route__imports_no_http_client(valkey: Server) -> None:
    assert top_level_modules(configured(valkey.url) + USE) & HTTP_CLIENTS == set()
