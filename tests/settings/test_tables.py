"""Each setting is in the docs with its default: in a table, or in a block that sets all of them to their defaults."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from django_upstash.settings.connection import ConnectionSettings
from django_upstash.settings.schema import Schema

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "django_upstash"
# What the blocks give an example of.
EXAMPLES = {("UPSTASH_BREAKER", "BREAKERS"), ("UPSTASH_ADMIN", "LIMITERS")}


def schemas() -> Iterator[Schema[Any]]:
    """Yield every schema of the package, by the modules that may hold one."""
    paths = [*PACKAGE.glob("*/settings.py"), *PACKAGE.glob("settings/*.py")]
    seen = set()
    for path in sorted(paths):
        module = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for found in vars(module).values():
            if isinstance(found, Schema) and found.name not in seen:
                seen.add(found.name)
                yield found


SCHEMAS = {schema.name: schema for schema in schemas()}
PAGES = {
    'TASKS[…]["OPTIONS"]': "queue.md",
    "NEAR_CACHE": "near-cache.md",
    "OPTIONS": "settings.md",
    "UPSTASH_ADMIN": "admin.md",
    "UPSTASH_BREAKER": "breaker.md",
    "UPSTASH_IDEMPOTENCY": "idempotency.md",
    "UPSTASH_RATELIMIT": "ratelimit.md",
    "UPSTASH_SESSIONS": "sessions.md",
    "UPSTASH_TENANTS": "tenants.md",
}


def documented(name: str) -> dict[str, Any]:
    """Return the options of a setting as its page has them, with their defaults."""
    page = (ROOT / "docs" / PAGES[name]).read_text(encoding="utf-8")
    return from_block(page, name) or from_tables(page, set(SCHEMAS[name].rules))


def from_block(page: str, name: str) -> dict[str, Any]:
    setting, _, option = name.partition("[…]")
    for block in re.findall(r"```python[^\n]*\n(.*?)```", page, re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == setting:
                found = eval(ast.unparse(node.value), {"timedelta": timedelta})
                found = found["default"]["OPTIONS"] if option else found
                if set(found) >= set(SCHEMAS[name].rules):
                    return dict(found)
    return {}


def from_tables(page: str, known: set[str]) -> dict[str, Any]:
    rows = re.findall(r"^\| `([A-Z_]+)` \| `([^`]*)` \|", page, re.MULTILINE)
    return {key: ast.literal_eval(default) for key, default in rows if key in known}


def test_schemas__each_has_a_page() -> None:
    assert set(PAGES) == set(SCHEMAS)


@pytest.mark.parametrize("name", PAGES)
def test_options__are_in_the_docs_with_their_defaults(name: str) -> None:
    schema, told = SCHEMAS[name], documented(name)
    assert set(told) - set(schema._others) == set(schema.rules)
    for field in fields(schema.kind):
        key = field.name.upper()
        if key in told and (name, key) not in EXAMPLES:
            default = field.default if field.default_factory is MISSING else field.default_factory()
            found = None if told[key] is None else schema.rules[key].typed(told[key])
            assert found == default, key


def test_options_of_a_connection__are_in_the_docs_with_their_defaults() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    table = page.partition("| `MAX_CONNECTIONS` |")
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| `([^`]*)` \|", table[0][-4000:] + table[1] + table[2], re.MULTILINE))
    for field in fields(ConnectionSettings):
        if field.name.upper() in rows and isinstance(field.default, int | float | str):
            told = ast.literal_eval(rows[field.name.upper()])
            assert told == field.default, field.name
