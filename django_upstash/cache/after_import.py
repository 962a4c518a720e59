"""Classes that become subclasses of another package's, once something imports that package."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


def after_import(name: str, receive: Callable[[ModuleType], None]) -> None:
    """
    Call ``receive`` with the module of this name: now if it has been imported, else as soon as it has been.

    A process that never imports it does not pay for it. Python's import system calls the first entry of
    ``sys.meta_path`` that finds a module (https://docs.python.org/3/reference/import.html#the-meta-path).
    """
    module = sys.modules.get(name)
    # A module that another thread is importing at present has a spec that says so.
    if module is not None and not getattr(module.__spec__, "_initializing", False):
        receive(module)
    else:
        sys.meta_path.insert(0, _Watch(name, receive))


class _Watch:
    """Finds one module as Python does, and has ``receive`` called once it is executed."""

    def __init__(self, name: str, receive: Callable[[ModuleType], None]) -> None:
        self._name = name
        self._receive = receive

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self._name:
            return None
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_tell(module: ModuleType) -> None:
                execute(module)
                self._receive(module)

            spec.loader.exec_module = execute_and_tell  # type: ignore[method-assign]
        return spec
