"""The package's source, as syntax trees."""

from __future__ import annotations

import ast
from pathlib import Path


def syntax_tree(path: Path) -> ast.Module:
    """
    Return the syntax tree of a file.

    Before 3.12 Python counts one depth for all threads, and raises SystemError where another one, such as a server's
    that logs a traceback, comes between (python/cpython#106905): so it is asked again.
    """
    source = path.read_text(encoding="utf-8")
    try:
        return ast.parse(source)
    except SystemError:
        return ast.parse(source)
