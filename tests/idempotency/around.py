"""Middleware that sites have around ours: it changes what passes through it, each time."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest

passed: list[str] = []


class _Around:
    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if iscoroutinefunction(self):
            return self._awaited(request)
        return self._changed(self.get_response(request))

    async def _awaited(self, request: HttpRequest) -> Any:
        return self._changed(await self.get_response(request))

    def _changed(self, response: Any) -> Any:
        passed.append(type(self).__name__)
        return self.change(response)

    def change(self, response: Any) -> Any:
        raise NotImplementedError


class Envelope(_Around):
    """Puts JSON into an envelope, and as much around it as makes compressing worth while."""

    def change(self, response: Any) -> Any:
        if response.headers.get("Content-Type") == "application/json":
            is_packed = response.headers.get("Content-Encoding") == "gzip"
            content = gzip.decompress(response.content) if is_packed else response.content
            response.content = json.dumps({"data": json.loads(content), "filling": "x" * 300})
            for name in ("Content-Encoding", "Content-Length"):
                response.headers.pop(name, None)
        return response


class Header(_Around):
    """Adds to a header, as those of tracing and policies do."""

    def change(self, response: Any) -> Any:
        response.headers["X-Passed"] = response.headers.get("X-Passed", "") + "+"
        return response
