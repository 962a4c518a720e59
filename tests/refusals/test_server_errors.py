"""Errors are known wherever a server, or one in front of it, puts the code, and never by what a client sent."""

from __future__ import annotations

from typing import Any

import pytest

from django_upstash import exceptions
from django_upstash.cache import UpstashCache
from django_upstash.connections import connections
from django_upstash.dev_server import LocalServer
from django_upstash.wire.error_lines import server_error
from tests.rest_fronts import RestFront
from tests.servers import Server


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("NOSCRIPT No matching script.", exceptions.NoScriptError, "No matching script."),
        ("Failed to execute Redis command: NOSCRIPT No matching", exceptions.NoScriptError, "No matching"),
        ("ERR Error: NOSCRIPT No matching", exceptions.NoScriptError, "No matching"),
        ("(error) NOPERM this user has", exceptions.NoPermissionError, "this user has"),
        ("ReplyError: ERR unknown command 'X'", exceptions.UnknownCommandError, "unknown command 'X'"),
        ("Command failed: unknown command `X`", exceptions.UnknownCommandError, "unknown command `X`"),
        ("Redis error - READONLY You can't write", exceptions.ReadOnlyError, "You can't write"),
        ("ERR failed: max requests limit exceeded. Limit: 1", exceptions.QuotaExceededError, None),
        ("ERR Error running script (call to f_a): @user_script:1: @user_script: 1: -OOM command not",
         exceptions.OutOfMemoryError, "command not"),
        ("ERR ACL failure in script: User a has no", exceptions.NoPermissionError, None),
        ("LOADING Redis is loading", exceptions.BusyLoadingError, "Redis is loading"),
        # What is no code, or a client's own words.
        ("WRONGTYPE Operation against: NOSCRIPT x", exceptions.ResponseError, None),
        ("ERR wrong number of arguments for 'x: NOSCRIPT y' command", exceptions.ResponseError, None),
        ("ERR no such thing, with args beginning with: 'a' ': NOSCRIPT b'", exceptions.ResponseError, "no such thing"),
        ("ERR Error running script (call to f_a): @user_script:1: user_script:1: NOSCRIPT mine",
         exceptions.ResponseError, None),
        ("Failed: `SET k 'a: OOM b'` is wrong", exceptions.ResponseError, None),
        ("", exceptions.ResponseError, None),
    ],
)  # fmt: skip
def test_server_error(text: str, kind: type[Exception], said: str | None) -> None:
    error = server_error(text)
    assert type(error) is kind
    assert said is None or str(error) == said


def test_scripts__run_behind_a_front_with_words_of_its_own(
    local_server: LocalServer, valkey: Server, settings: Any
) -> None:
    valkey.call("FLUSHALL")
    valkey.call("SCRIPT", "FLUSH")
    with RestFront(local_server, error_prefix="Failed to execute Redis command: ") as front:
        settings.UPSTASH = {"default": front.settings}
        cache = UpstashCache("default", {})
        cache.set("n", 1)
        assert [cache.incr("n") for _ in range(3)] == [2, 3, 4]
        connections.close_all()
