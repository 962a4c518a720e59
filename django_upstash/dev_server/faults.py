"""Faults of the wire and of the gateway, put into the answers on request."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any

from django_upstash.dev_server import commands
from django_upstash.dev_server.messages import HTML, REASONS, Delivery, ServerResponse

# What a fault does, and whether the commands are executed all the same: a client may take none of the answers in the
# second group for a sign that nothing happened.
BEFORE_EXECUTION = frozenset({"drop_before", "reset", "unauthorized", "too_many", "quota", "readonly", "full"})
AFTER_EXECUTION = frozenset({"latency", "drop_after", "truncate", "html", "empty", "not_json"})
KINDS = BEFORE_EXECUTION | AFTER_EXECUTION
_ERRORS = {"quota": commands.QUOTA_EXCEEDED, "readonly": commands.UPGRADING, "full": commands.FULL}


@dataclass
class Fault:
    """
    One kind of failure, the requests it hits, and how often.

    ``path`` is a pattern of the request's path, as ``fnmatch`` reads it; None hits every path. ``seconds`` is the delay
    of ``latency``. ``html`` gives ``too_many`` a page for a body, as gateways do. ``per_item`` puts an error of
    ``quota``, ``readonly`` or ``full`` into each slot of a pipeline's 200, as Upstash was seen to do.
    """

    kind: str
    count: int = 1
    path: str | None = None
    seconds: float = 0.0
    html: bool = False
    per_item: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, _TYPES[field.name]) or (
                isinstance(value, bool) and _TYPES[field.name] is not bool
            ):
                raise ValueError(f"The fault's {field.name!r} is of the wrong type: {type(value).__name__}.")
        if self.kind not in KINDS:
            raise ValueError(f"There is no fault of that kind; known are {', '.join(sorted(KINDS))}.")
        if self.count < 1 or not 0 <= self.seconds <= 3600:
            raise ValueError("A fault hits at least 1 request and lasts between 0 and 3600 seconds.")

    @property
    def executes(self) -> bool:
        return self.kind in AFTER_EXECUTION


_TYPES: dict[str, Any] = {
    "kind": str,
    "count": int,
    "path": str | None,
    "seconds": int | float,
    "html": bool,
    "per_item": bool,
}


def make_fault(given: object) -> Fault:
    """Return the fault that a JSON object describes; raise ``ValueError`` with one sentence naming the mistake."""
    if not isinstance(given, Mapping) or "kind" not in given:
        raise ValueError('A fault is an object such as {"kind": "latency", "seconds": 0.2, "count": 1}.')
    if unknown := [key for key in given if key not in _TYPES]:
        raise ValueError(f"A fault has no {', '.join(map(repr, unknown))}; known are {', '.join(_TYPES)}.")
    return Fault(**given)


class Faults:
    """The faults still to come, the earliest given first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: list[Fault] = []

    def add(self, faults: list[Fault]) -> None:
        with self._lock:
            self._pending.extend(faults)

    def clear(self) -> None:
        with self._lock:
            self._pending.clear()

    def take(self, path: str) -> Fault | None:
        """Return the fault that hits this request, counted down, or None."""
        if not self._pending:
            return None
        with self._lock:
            for fault in self._pending:
                if fault.path is None or fnmatchcase(path, fault.path):
                    fault.count -= 1
                    if not fault.count:
                        self._pending.remove(fault)
                    return fault
        return None


def instead_of_executing(fault: Fault) -> ServerResponse:
    """Return the answer to a request of which nothing is executed."""
    if fault.kind in _ERRORS:
        return ServerResponse.error(400, _ERRORS[fault.kind])
    if fault.kind == "unauthorized":
        return ServerResponse.error(401, commands.UNAUTHORIZED)
    if fault.kind == "too_many":
        return _page(429) if fault.html else ServerResponse.error(429, "ERR too many requests")
    return ServerResponse(200, delivery=Delivery.RESET if fault.kind == "reset" else Delivery.NOTHING)


def item_error(fault: Fault) -> str | None:
    """Return the error for each slot of a pipeline, where the fault is of that sort."""
    return _ERRORS.get(fault.kind) if fault.per_item else None


async def spoil(fault: Fault, response: ServerResponse) -> ServerResponse:
    """Return what becomes of the answer to a request that was executed."""
    if fault.kind == "html":
        return _page(502)
    if fault.kind == "latency":
        await asyncio.sleep(fault.seconds)
    elif fault.kind == "drop_after":
        response.delivery = Delivery.NOTHING
    elif fault.kind == "truncate":
        response.delivery = Delivery.HALF
    else:
        response.body = b"" if fault.kind == "empty" else b"upstream connect error or disconnect/reset before headers"
    return response


def _page(status: int) -> ServerResponse:
    title = f"{status} {REASONS[status]}"
    text = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<h1>{title}</h1>\r\n</body>\r\n</html>\r\n"
    return ServerResponse(status, text.encode(), HTML)
