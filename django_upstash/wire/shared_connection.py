"""A connection as the parts below ``connections`` see it, which is what the adapters and the handshake are given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from django_upstash.operations import Operation
    from django_upstash.operations.capabilities import Capabilities
    from django_upstash.settings.conf import ConnectionSettings
    from django_upstash.wire.base import Route

Result = TypeVar("Result")


class Closable(Protocol):
    def close(self) -> None: ...


class SharedConnection(Protocol):
    """What ``connections.Connection`` is; that class imports the adapters, so they cannot name it."""

    settings: ConnectionSettings
    capabilities: Capabilities

    @property
    def route(self) -> Route: ...
    def run(self, operation: Operation[Result]) -> Result: ...
    async def arun(self, operation: Operation[Result]) -> Result: ...
    def close_with(self, companion: Closable) -> None: ...
    def be_verified(self) -> None: ...
