from __future__ import annotations

import hashlib
from typing import Any

import hiredis
import pytest

from django_upstash.connections import Connection
from django_upstash.dev_server import LocalServer
from django_upstash.dev_server.encoding import as_text, envelope
from django_upstash.dev_server.scripts import locking_script
from django_upstash.operations import command
from django_upstash.settings.conf import make_settings
from tests.dev_server.conftest import Client
from tests.servers import Server, ServerMissing, start_redis

FLAG = "#!lua flags=allow-key-locking\n"
DYNAMIC = "ERR Dynamic keys are not allowed in Lua scripts when 'allow-key-locking' flag is set. Key was: "


def sha_of(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()


# Each with the number of commands that it runs, those refused included.
SCRIPTS = {
    "nothing": ("return 1", 0),
    "calls": ("redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])", 2),
    "loop": ("for i = 1, 10 do redis.call('INCR', KEYS[1]) end return redis.call('GET', KEYS[1])", 11),
    "no reply": ("redis.call('INCR', KEYS[1])", 1),
    "false": ("return false", 0),
    "status": ("return redis.status_reply('FINE')", 0),
    "status of a command": ("return redis.call('SET', KEYS[1], 'x')", 1),
    "error reply": ("return redis.error_reply('MINE and yours')", 0),
    "caught": ("local e = redis.pcall('INCR', KEYS[1], 'x') return {e.err ~= nil, redis.call('PTTL', KEYS[1])}", 2),
    "nested": ("return {1, {2, {'three', false, 4.9}}, 'x', nil, 5}", 0),
    "truncated": ("return {redis.call('GET', KEYS[1]), 'after false'}", 1),
    "binary": ("redis.call('SET', KEYS[1], '\\255\\0') return #redis.call('GET', KEYS[1])", 2),
    "global function": ("return tostring(cjson.decode('[1]')[1]) .. #KEYS .. #ARGV", 0),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_eval__counts_and_changes_nothing(client: Client, valkey: Server, name: str) -> None:
    script, inner = SCRIPTS[name]
    client.command("PING")
    expected = client.server.meter()["commands"] + 1 + inner

    plain = client.command("EVAL", script, 1, "key", "value")
    assert client.server.meter()["commands"] == expected
    valkey.call("FLUSHALL")
    locking = client.command("EVAL", FLAG + script, 1, "key", "value")
    assert client.server.meter()["commands"] == expected + 1 + inner
    valkey.call("FLUSHALL")

    assert (plain.status, plain.body) == (locking.status, locking.body)
    assert plain.json == envelope(replied(valkey, "EVAL", script, "1", "key", "value"), as_text)


def replied(server: Server, *command: str) -> Any:
    """Return a server's own reply, an error too."""
    try:
        return server.call(*command)
    except hiredis.ReplyError as error:
        return error


def test_meter__names_what_a_script_ran(client: Client) -> None:
    client.command("EVAL", "redis.call('HSET', KEYS[1], 'a', '1') return redis.pcall('GET', KEYS[1])", 1, "hash")
    client.transaction(["SET", "a", "1"], ["EVAL", FLAG + "return redis.call('GET', KEYS[1])", 1, "a"], ["GET", "a"])

    assert client.server.meter()["by_command"] == {
        "EVAL": 2, "EXEC": 1, "GET": 3, "HSET": 1, "MULTI": 1, "SET": 1,
    }  # fmt: skip


def test_eval__only_its_own_commands_are_counted(client: Client) -> None:
    """Other clients' commands run between a script's and its neighbours', never inside the count."""
    commands: list[list[Any]] = [["EVAL", "return redis.call('GET', KEYS[1])", 1, "key"], ["SET", "key", "x"]] * 20
    client.pipeline(*commands)

    assert client.server.meter()["by_command"] == {"EVAL": 20, "GET": 20, "SET": 20}


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("return redis.call('SET', KEYS[1])", "ERR Wrong number of args calling"),
        ("\nredis.call('INCR', KEYS[1], 'x')", "ERR Wrong number of args calling"),
        ("\n\nlocal x = nil return x.y", "ERR user_script:{}: attempt to index local 'x' (a nil value)"),
        ("\n\n\nerror('mine')", "ERR user_script:{}: mine"),
        ("error({err='MINE and yours'})", "MINE and yours"),
        ("local t = setmetatable({}, {__index = function() error('deep') end})\nreturn t.x", "ERR user_script:1: deep"),
        ("x = 1", "ERR user_script:"),
    ],
)
def test_eval__errors_name_the_line(client: Client, script: str, error: str) -> None:
    plain = client.command("EVAL", script, 1, "key").error
    locking = client.command("EVAL", FLAG + script, 1, "key").error
    line = 1 + script.rstrip().count("\n")

    assert plain.startswith(error.format(line))
    if "user_script:1" not in error:
        assert locking.startswith(error.format(line + 1))
    # A tail call leaves no trace of the line.
    if not script.startswith("return redis.call"):
        assert f"on @user_script:{line + 1}." in locking or "deep" in error


def test_eval__compile_errors_are_those_of_the_script(client: Client) -> None:
    plain = client.command("EVAL", "\nreturn (", 0)
    locking = client.command("EVAL", FLAG + "return (", 0)

    assert locking.error == plain.error
    assert client.command("SCRIPT", "EXISTS", sha_of(FLAG + "return (")).result == [0]
    assert client.command("SCRIPT", "LOAD", FLAG + "return (").error == plain.error
    assert client.command("EVALSHA", sha_of(FLAG + "return ("), 0).error.startswith("NOSCRIPT ")


@pytest.mark.parametrize("body", ["end return 1 --", "end) return 1 --", "]] return 1", "@sha@ @last@"])
def test_eval__what_would_break_out_of_the_wrapper_does_not_compile(client: Client, body: str) -> None:
    assert client.command("EVAL", FLAG + body, 0).error.startswith("ERR Error compiling script")


@pytest.mark.parametrize(
    ("call", "key"),
    [
        ("redis.call('GET', 'other')", "other"),
        ("redis.call('SET', KEYS[1] .. 'x', 1)", "keyx"),
        ("redis.call('MGET', KEYS[1], 'other')", "other"),
        ("redis.call('ZUNIONSTORE', KEYS[1], 1, 'other')", "other"),
        ("redis.pcall('GET', 'other')", "other"),
    ],
)
def test_locking__undeclared_keys_are_refused(client: Client, call: str, key: str) -> None:
    assert client.command("EVAL", FLAG + "return " + call, 1, "key").error == DYNAMIC + key
    assert client.command("EXISTS", key).result == 0
    assert client.command("EVAL", "return " + call, 1, "key").status == 200


def test_locking__declared_and_no_keys(client: Client) -> None:
    script = "redis.call('MSET', KEYS[1], 1, KEYS[2], 2) redis.call('TIME') return redis.call('MGET', 'a', 'b')"

    assert client.command("EVAL", FLAG + script, 2, "a", "b").result == ["1", "2"]


def test_locking__a_refused_command_is_caught_like_others(client: Client) -> None:
    script = "local ok, e = pcall(redis.call, 'GET', 'other') return {tostring(ok), e}"

    assert client.command("EVAL", FLAG + script, 0).result == ["false", DYNAMIC + "other"]


@pytest.mark.parametrize("name", ["FLUSHALL", "flushdb"])
def test_locking__no_database_wide_writes(client: Client, name: str) -> None:
    client.command("SET", "a", "1")

    assert "is not allowed" in client.command("EVAL", FLAG + f"return redis.call('{name}')", 0).error
    assert client.command("EXISTS", "a").result == 1


def test_sha__is_that_of_the_text_that_was_sent(client: Client) -> None:
    text = FLAG + "return redis.call('INCR', KEYS[1])"
    sha = sha_of(text)

    assert client.command("EVALSHA", sha, 1, "n").error == "NOSCRIPT No matching script. Please use EVAL."
    assert client.pipeline(["SCRIPT", "LOAD", text], ["EVALSHA", sha.upper(), 1, "n"]).json == [
        {"result": sha},
        {"result": 1},
    ]
    assert client.command("SCRIPT", "EXISTS", sha, "0" * 40, sha).result == [1, 0, 1]
    assert client.command("SCRIPT", "FLUSH").result == "OK"
    assert client.command("SCRIPT", "EXISTS", sha).result == [0]
    assert client.command("EVAL", text, 1, "n").result == 2
    assert client.command("EVALSHA", sha, 1, "n").result == 3


def test_sha__of_a_plain_script(client: Client) -> None:
    sha = client.command("SCRIPT", "LOAD", "return 7").result

    assert sha == sha_of("return 7")
    assert client.command("EVALSHA", sha, 0).result == 7
    assert client.pipeline(["EVALSHA", "0" * 40, 0], ["PING"]).json == [
        {"error": "NOSCRIPT No matching script. Please use EVAL."},
        {"result": "PONG"},
    ]


def test_locking__survives_a_restart_of_the_server(client: Client, valkey: Server) -> None:
    text = FLAG + "return 7"
    client.command("EVAL", text, 0)
    valkey.call("SCRIPT", "FLUSH")

    assert client.command("EVALSHA", sha_of(text), 0).result == 7


@pytest.mark.parametrize("prefix", ["", FLAG, "#!lua flags=no-writes,allow-key-locking\n"])
def test_read_only_forms(client: Client, prefix: str) -> None:
    text = prefix + "return redis.call('GET', KEYS[1])"
    write = prefix + "return redis.call('SET', KEYS[1], 'x')"
    client.command("SET", "key", "value")
    sha = client.command("SCRIPT", "LOAD", text).result

    assert client.command("EVAL_RO", text, 1, "key").result == "value"
    assert client.command("EVALSHA_RO", sha, 1, "key").result == "value"
    assert "Write commands are not allowed" in client.command("EVAL_RO", write, 1, "key").error


def test_flags__others_are_kept(client: Client) -> None:
    write = "#!lua flags=no-writes,allow-key-locking\nreturn redis.call('SET', KEYS[1], 'x')"

    assert "Write commands are not allowed" in client.command("EVAL", write, 1, "key").error
    assert client.command("EVAL", "#!lua flags=nonsense,allow-key-locking\nreturn 1", 0).error.startswith("ERR ")


@pytest.mark.parametrize(
    "text", [b"return 1", b"--#!lua flags=allow-key-locking", b"\n#!lua flags=allow-key-locking", b"#!lua"]
)
def test_locking_script__none_without_the_flag(text: bytes) -> None:
    assert locking_script(text) is None


@pytest.mark.parametrize(
    ("first_line", "kept"),
    [
        (b"#!lua flags=allow-key-locking\n", b"\n"),
        (b"#!lua  flags=allow-key-locking \r\n", b"\n"),
        (b"#!lua flags=allow-key-locking,no-writes\n", b"#!lua flags=no-writes\n"),
        (b"#!lua name=x flags=allow-key-locking\n", b"#!lua name=x\n"),
    ],
)
def test_locking_script__loses_the_flag_and_keeps_its_lines(first_line: bytes, kept: bytes) -> None:
    script = locking_script(first_line + b"return 1")

    assert script is not None
    assert script.plain == kept + b"return 1"
    assert script.sha.decode() == hashlib.sha1(first_line + b"return 1").hexdigest()


def test_functions__are_counted(client: Client) -> None:
    library = (
        "#!lua name=mine\nredis.register_function('twice', function(keys) "
        "redis.call('INCR', keys[1]) return redis.call('INCR', keys[1]) end)"
    )
    client.command("FUNCTION", "LOAD", "REPLACE", library)

    assert client.command("FCALL", "twice", 1, "n").result == 2
    assert client.server.meter()["by_command"] == {"FCALL": 1, "FUNCTION": 1, "INCR": 2}
    client.command("FUNCTION", "FLUSH")


def test_redis__instead_of_valkey() -> None:
    """The same on stock Redis, whose errors and statistics read a little differently."""
    try:
        with start_redis() as redis, LocalServer(redis.url) as server, Client(server) as client:
            assert client.command("EVAL", FLAG + "redis.call('INCR', KEYS[1]) return 1", 1, "a").result == 1
            assert client.command("EVAL", FLAG + "return redis.call('GET', 'b')", 1, "a").error == DYNAMIC + "b"
            plain = client.command("EVAL", "\nlocal n = redis.call('INCR', 'list', 1) return n", 1, "list").error
            sha = sha_of("\nlocal n = redis.call('INCR', 'list', 1) return n")
            text = FLAG + "local n = redis.call('INCR', 'list', 1) return n"
            assert client.command("EVAL", text, 1, "list").error == plain.replace(sha, sha_of(text))
            assert server.meter()["by_command"] == {"EVAL": 4, "INCR": 3}
    except ServerMissing as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("depth", "status"), [(100, 200), (1000, 400), (2000, 503)])
def test_eval__replies_nested_beyond_reason(client: Client, depth: int, status: int) -> None:
    script = "local t = {} for i = 1, tonumber(ARGV[1]) do t = {t} end return t"

    assert client.command("EVAL", script, 0, depth).status == status
    assert client.command("PING").result == "PONG"


def test_scripts__in_a_long_pipeline_are_limited_by_their_own_replies_only(
    route: str, route_settings: dict[str, Any]
) -> None:
    """What the server asks beside each script, in order to count its commands, is no part of the reply."""
    connection = Connection(make_settings(route, {**route_settings, "TIMEOUT": 60}))
    try:
        for name in ("STRLEN", "PTTL", "TTL", "TYPE", "ECHO", "HLEN", "LLEN", "SCARD", "ZCARD"):
            connection.run(command(name, "k"))  # makes the counts that are asked for longer
        assert connection.route.execute([("EVAL", "return 1", 0)] * 3000) == [1] * 3000
    finally:
        connection.close()
