"""What an installation gets."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from fnmatch import fnmatch
from importlib.metadata import metadata, requires, version
from pathlib import Path

import pytest

import django_upstash
from tests.sources import syntax_tree

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "django_upstash"


def data_files() -> list[Path]:
    """Return the package's files that are not Python, relative to it."""
    files = (path.relative_to(PACKAGE) for path in PACKAGE.rglob("*") if path.is_file())
    return sorted(path for path in files if path.suffix not in {".py", ".pyc"})


def declared_patterns() -> list[str]:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config["options.package_data"]["django_upstash"].split()


def test_version__is_the_installed_one_and_in_the_changelog() -> None:
    assert version("django-upstash") == django_upstash.__version__
    assert f"## {django_upstash.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_package__is_marked_as_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()


def test_data_files__are_declared() -> None:
    patterns = [pattern.replace("**/", "*") for pattern in declared_patterns()]
    assert [path for path in data_files() if not any(fnmatch(str(path), pattern) for pattern in patterns)] == []


def test_folders_with_modules__are_packages() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_classifiers__name_what_tox_tests() -> None:
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    pythons = {f"3.{minor}" for minor in re.findall(r"py3(\d+)-", tox)}
    djangos = {f"{digits[0]}.{digits[1]}" for digits in re.findall(r"^    django(\d\d):", tox, re.MULTILINE)}
    classifiers = metadata("django-upstash").get_all("Classifier") or []

    assert pythons == {found for line in classifiers if (found := line.rpartition(" :: ")[2]).startswith("3.")}
    assert djangos == {line.rpartition(" :: ")[2] for line in classifiers if line.startswith("Framework :: Django :: ")}


def test_third_party_imports__are_requirements() -> None:
    """Every distribution that the package imports is required, by an extra at least."""
    named = {re.split(r"[^\w-]", line)[0].replace("-", "_") for line in requires("django-upstash") or []}
    renamed = {"rest_framework": "djangorestframework"}
    imported = {renamed.get(name, name) for path in PACKAGE.rglob("*.py") for name in imports_of(path)}
    elsewhere = {"asgiref", "pybase64"}  # Django brings the one; the other is faster where it happens to be

    assert imported - named - elsewhere - sys.stdlib_module_names - {"django_upstash"} == set()


def imports_of(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(syntax_tree(path)):
        if isinstance(node, ast.Import):
            names |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module).partition(".")[0])
    return names


@pytest.mark.slow
def test_wheel__holds_the_package_and_works_without_extras(tmp_path: Path) -> None:
    # A copy, because the build reuses what an earlier one left in its folder.
    source = tmp_path / "source"
    shutil.copytree(PACKAGE, source / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, source)
    (wheel,) = tmp_path.glob("*.whl")
    wanted = {f"django_upstash/{path}" for path in data_files()}
    wanted |= {str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*.py")}
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == wanted

    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel)
    run(python, "-c", "import django_upstash.cache, django_upstash.wire.native, django_upstash.wire.rest")


def run(*command: str | Path) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
