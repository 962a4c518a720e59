"""State that a forked child must not share is reset there, whether or not the fork ran Python's hooks."""

from __future__ import annotations

import ast
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from django_upstash import forks
from django_upstash.connections import connections
from django_upstash.health.probes import probe_of
from django_upstash.ratelimit.policy_registry import catalogue
from django_upstash.ratelimit.process_state import memory_of
from tests.forking import exit_status_in_fork
from tests.sources import syntax_tree

PACKAGE = Path(forks.__file__).parent

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")


def test_reset_after_fork__runs_once_at_the_first_check(monkeypatch: pytest.MonkeyPatch) -> None:
    resets: list[int] = []
    monkeypatch.setattr(forks, "_resets", [lambda: resets.append(os.getpid())])

    def check() -> bool:
        before = list(resets)
        forks.check_fork()
        forks.check_fork()
        return before == [] and resets == [os.getpid()]

    forks.check_fork()
    assert resets == []
    assert exit_status_in_fork(check) == 0
    assert resets == []


def test_check_fork__is_safe_in_threads_and_where_the_parent_held_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    resets: list[int] = []
    monkeypatch.setattr(forks, "_resets", [lambda: resets.append(1), forks.check_fork])

    def check() -> bool:
        threads = [threading.Thread(target=forks.check_fork) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
        return resets == [1] and not any(thread.is_alive() for thread in threads)

    with forks._locks.setdefault(os.getpid(), threading.RLock()):
        assert exit_status_in_fork(check) == 0


def test_reset_after_fork__that_fails_is_run_again() -> None:
    ran: list[int] = []

    def fails_once() -> None:
        ran.append(1)
        if len(ran) == 1:
            raise OSError("once")

    def check() -> bool:
        with pytest.raises(OSError, match="once"):
            forks.check_fork()
        forks.check_fork()
        return len(ran) == 2

    forks.reset_after_fork(fails_once)
    try:
        assert exit_status_in_fork(check) == 0
    finally:
        forks._resets.remove(fails_once)


def test_lock__that_another_thread_of_the_parent_holds_is_free_in_a_child(fork: Callable[[], int]) -> None:
    lock, turn, held, let_go = forks.ForkSafeLock(), forks.Turn(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            assert turn.take()
            held.set()
            let_go.wait(60)

    def check() -> bool:
        with lock, lock:
            return turn.take() and not turn.take()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(60)
    try:
        assert exit_status_in_fork(check, fork) == 0
        assert not turn.take()
    finally:
        let_go.set()
        holder.join()


def test_lock__taken_before_a_fork_is_given_back_in_the_child(fork: Callable[[], int]) -> None:
    lock, turn = forks.ForkSafeLock(), forks.Turn()

    def check() -> bool:
        with ExitStack() as stack:
            stack.push(inherited.pop_all())
            with lock:
                pass
        turn.end()
        return turn.take()

    with ExitStack() as inherited:
        inherited.enter_context(lock)
        turn.take()
        assert exit_status_in_fork(check, fork) == 0


def test_compared_ids__where_the_kernel_clears_no_memory(
    monkeypatch: pytest.MonkeyPatch, fork: Callable[[], int]
) -> None:
    mark, resets = forks.ComparedIds(), list[int]()
    mark[0] = 1
    monkeypatch.setattr(forks, "mark", mark)
    monkeypatch.setattr(forks, "_resets", [lambda: resets.append(1)])

    def check() -> bool:
        forks.check_fork()
        forks.check_fork()
        return resets == [1] and bool(mark[0])

    assert mark[0]
    assert exit_status_in_fork(check, fork) == 0
    assert (bool(mark[0]), resets) == (True, [])


def test_lock__keeps_other_threads_out() -> None:
    lock, inside = forks.ForkSafeLock(), [0]

    def add() -> None:
        for _ in range(300):
            with lock:
                seen = inside[0]
                time.sleep(0)
                inside[0] = seen + 1

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == [1200]


def test_random_and_names__differ_in_children(fork: Callable[[], int]) -> None:
    name, state = forks.process_name(), forks.random.getstate()
    assert exit_status_in_fork(lambda: forks.process_name() != name and forks.random.getstate() != state, fork) == 0
    assert (forks.process_name(), forks.random.getstate()) == (name, state)


def test_limits__of_a_child(upstash: Any, fork: Callable[[], int]) -> None:
    memory = memory_of(connections["native"])
    memory.tallies.count("tenant", True, [("scope", "me")])
    probe = probe_of(connections["native"].settings, 1.0, details=False)
    probe._looks.forget()
    assert probe._looks.begin() is not None  # a look that never ends

    def check() -> bool:
        probe.start(60.0)  # the parent's look, which never ends here, is none of the child's
        found = probe.answer(time.monotonic() + 60)
        return found.is_ok and memory.tallies.tenants() == [] and catalogue.scopes() == catalogue.scopes()

    assert exit_status_in_fork(check, fork) == 0
    assert memory.tallies.tenants() == ["tenant"]


def test_dedicated_connection__is_the_parents_own(upstash: Any, fork: Callable[[], int]) -> None:
    pool: Any = connections["native"].redis.connection_pool
    lent = pool.get_connection()

    def check() -> bool:
        connections.close_all()  # shuts down nothing of the parent's
        own = pool.get_connection()
        own.send_command("ECHO", "child")
        return own is not lent and own.read_response() == b"child"

    assert exit_status_in_fork(check, fork) == 0
    lent.send_command("ECHO", "parent")
    assert lent.read_response() == b"parent"
    pool.release(lent)


# What is made of the standard library's locks, threads and ids, and why a fork does no harm to it.
KNOWN = {
    "wire/availability.py: Event": "of a probe, which `Availability.after_fork` forgets",
    "pubsub/events.py: Event": "of an event loop",
    "wire/availability.py: Thread": "a probe, of which `Availability.after_fork` forgets that it is under way",
    "health/probes.py: Thread": "a look, which `Probe.after_fork` forgets",
    "diagnostics/sections/overview.py: Event": "of one call",
    "locks/renewal.py: Event": "of the parent's lock alone: see `Lock.release`",
    "locks/renewal.py: Thread": "of the parent's lock alone: see `Lock.release`",
    "management/commands/upstash_local.py: Event": "the command's own process",
    "management/commands/upstash_worker.py: Thread": "the command's own process",
    "wire/meter.py: RLock": "`Meter.after_fork`",
    "pubsub/subscriber.py: Thread": "a subscriber belongs to the process that entered it",
    "wire/carriers.py: Thread": "`Lanes.after_fork` forgets them",
    "wire/lanes.py: count": "names that are new after a fork",
    "wire/pool.py: Lock": "of a waiter in the line, which `Pool.after_fork` forgets",
    "tasks/waker.py: Event": "the worker's own process",
    "tasks/worker.py: Condition": "the worker's own process",
    "tasks/worker.py: Event": "the worker's own process",
    "tasks/worker.py: Thread": "the worker's own process",
    "tasks/worker.py: ThreadPoolExecutor": "the worker's own process",
    "wire/traffic.py: RLock": "`Traffic.after_fork`",
    "adapters/dedicated_async.py: count": "names that are new after a fork",
    "adapters/dedicated_async.py: Semaphore": "of an event loop, which has other connections after a fork",
    "adapters/redis.py: getpid": "compared",
    "wire/rest_async.py: Semaphore": "of an event loop, which has another lane after a fork",
    "wire/rest_events.py: Event": "of an event loop",
    "queues/jobs.py: count": "ids end in 14 random digits",
}
SHARED = {"Condition", "Event", "Lock", "RLock", "Semaphore", "BoundedSemaphore", "Thread", "Timer", "Barrier"} | {
    *("ThreadPoolExecutor", "Random", "count", "getpid", "local", "uuid1", "uuid4", "register_at_fork"),
}

MODULES = {"asyncio", "concurrent.futures", "itertools", "os", "random", "secrets", "threading", "uuid"}


def test_what_forks_must_not_share__is_known() -> None:
    found = {f"{path}: {name}" for path, name in shared_state()}
    assert found == set(KNOWN)


WAITING = set("aexecute arun connect drive adrive exchange execute join recv result run sendall sleep wait".split())


def test_locks__are_not_held_while_anything_waits() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(syntax_tree(path)):
            if isinstance(node, ast.With) and any(
                ast.unparse(item.context_expr).endswith("lock") for item in node.items
            ):
                found += [f"{path.name}:{node.lineno}" for part in ast.walk(node) if _waits(part)]
    assert found == []


def _waits(node: Any) -> bool:
    """Tell whether something is awaited, or may take long by its name."""
    if isinstance(node, ast.Await | ast.Yield | ast.YieldFrom):
        return True
    if not isinstance(node, ast.Call) or "_stand_in." in ast.unparse(node.func):  # which is in this process
        return False
    return getattr(node.func, "attr", getattr(node.func, "id", "")) in WAITING


def shared_state() -> Iterator[tuple[str, str]]:
    """Yield the calls of the package that make locks, threads and what is one for each process; ids only at import."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith("dev_server/") or name in ("wire/embedded_supervisor.py", "forks.py"):
            continue  # processes of their own
        tree = syntax_tree(path)
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module in MODULES]
        imported = {alias.name for node in imports for alias in node.names}
        for node in ast.walk(tree):
            called = _called(node, imported)
            if called in SHARED:
                yield name, called
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
                yield from (
                    (name, called)
                    for part in ast.walk(node)
                    if (called := _called(part, imported)).startswith("token_")
                )


def _called(node: ast.AST, imported: set[str]) -> str:
    """Return the name of the standard library's function or class that is called, or an empty one."""
    function = node.func if isinstance(node, ast.Call) else None
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id in MODULES:
        return function.attr
    return function.id if isinstance(function, ast.Name) and function.id in imported else ""
