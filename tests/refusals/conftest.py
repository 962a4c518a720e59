"""Users of real servers who may not do everything, and their connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, TypeAlias

import pytest

from django_upstash.connections import connections
from tests.servers import Server, ServerMissing, start_redis, start_valkey

Enter: TypeAlias = Callable[..., None]


@pytest.fixture(scope="session", params=["valkey", "redis"])
def acl_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that knows the newer commands, and one that does not."""
    start = start_valkey if request.param == "valkey" else start_redis
    with ExitStack() as stack:
        try:
            server = stack.enter_context(start())
        except ServerMissing as error:
            pytest.skip(str(error))
        yield server


@pytest.fixture
def enter_as(acl_server: Server, settings: Any) -> Iterator[Enter]:
    """Return ``enter_as(*rules)``, after which "default" is the connection of a user of these ACL rules."""

    def enter(*rules: str) -> None:
        acl_server.call("FLUSHALL")
        acl_server.call("SCRIPT", "FLUSH")
        acl_server.call("ACL", "SETUSER", "few", "reset", "on", ">pw", "~*", "&*", *known(acl_server, rules))
        settings.UPSTASH = {"default": {"URL": f"redis://few:pw@127.0.0.1:{acl_server.port}/0"}}

    yield enter
    connections.close_all()


def known(server: Server, rules: tuple[str, ...]) -> list[str]:
    """Return the rules without those for commands that the server does not have."""
    names = {name.decode() for name in server.call("COMMAND", "LIST")}
    return [rule for rule in rules if "@" in rule or rule.lstrip("+-") in names]
