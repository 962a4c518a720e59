from __future__ import annotations

import base64
import json

import pytest

from django_upstash.dev_server.messages import ServerRequest
from tests.dev_server.conftest import READ_ONLY_TOKEN, Client

UNAUTHORIZED = (
    "WRONGPASS invalid or missing auth token. "
    "See https://docs.upstash.com/redis/troubleshooting/http_unauthorized for details."
)
EVERY_BYTE = bytes(range(256))


def test_root__command_in_the_body(client: Client) -> None:
    answer = client.command("SET", "key", "value", "EX", 100)

    assert (answer.status, answer.body) == (200, b'{"result":"OK"}')
    assert answer.headers["Content-Type"] == "application/json"
    assert client.command("GET", "key").result == "value"
    assert 0 < client.command("TTL", "key").result <= 100


def test_root__shapes_of_replies(client: Client) -> None:
    client.command("HSET", "hash", "field", "1.5")

    assert client.command("GET", "missing").result is None
    assert client.command("HGETALL", "hash").result == ["field", "1.5"]
    assert client.command("HINCRBYFLOAT", "hash", "field", "1").result == "2.5"
    assert client.command("SISMEMBER", "set", "member").result == 0
    assert client.command("SCAN", 0).result == ["0", ["hash"]]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "EOF"),
        (b" \n", "EOF"),
        (b'{"a": 1}', "expected JSON array"),
        (b'"GET"', "expected JSON array"),
        (b"[]", "ERR empty command"),
        (b'["SET", "key", null]', "ERR null args are not supported"),
        (b'["SET", "key", {"a": 1}]', 'ERR unsupported arg type: "{": json.Delim'),
        (b'["SET", "key", ["a"]]', 'ERR unsupported arg type: "[": json.Delim'),
        (b'["SET", "key"', "ERR the request body is not valid JSON"),
        (b'["SET", "key", NaN]', "ERR the request body is not valid JSON"),
        (b"[" * 100_000, "ERR the request body is not valid JSON"),
        (b'["GET"]', "ERR wrong number of arguments for 'get' command"),
    ],
)
def test_root__refused_bodies(client: Client, body: bytes, error: str) -> None:
    assert client.post("/", body).error == error


@pytest.mark.parametrize(
    ("value", "stored"),
    [("true", "true"), ("false", "false"), ("12", "12"), ("9007199254740993", "9007199254740993"), ("1.50", "1.50")],
)
def test_root__scalars_keep_their_text(client: Client, value: str, stored: str) -> None:
    client.post("/", f'["SET", "key", {value}]'.encode())

    assert client.command("GET", "key").result == stored


def test_root__what_is_no_utf8_becomes_the_replacement_character(client: Client) -> None:
    client.post("/", b'["MSET", "bytes", "\xff", "escape", "\\ud800"]')

    assert client.command("MGET", "bytes", "escape").result == ["�", "�"]


def test_path__command_and_arguments(client: Client) -> None:
    assert client.get("/set/a%2Fb/x%20y+z/EX/100").result == "OK"

    assert client.command("GET", "a/b").result == "x y+z"
    assert client.request("PUT", "/get/a%2Fb").result == "x y+z"


def test_path__body_then_parameters(client: Client) -> None:
    assert client.post("/set/key?EX=100&NX", EVERY_BYTE).result == "OK"

    assert 0 < client.command("TTL", "key").result <= 100
    assert base64.b64decode(client.command("GET", "key", Upstash_Encoding="base64").result) == EVERY_BYTE
    assert client.post("/set/key?NX", b"again").result is None


def test_path__escaped_bytes_are_bytes(client: Client) -> None:
    client.get("/set/key/%FF%00")

    assert client.command("STRLEN", "key").result == 2


@pytest.mark.parametrize("path", ["/get/%zz", "/get/%", "/get/key?a=%f"])
def test_path__bad_escape(client: Client, path: str) -> None:
    assert client.get(path).error == "ERR invalid percent-encoding in the URL"


def test_head__runs_the_command_and_sends_no_body(client: Client) -> None:
    answer = client.request("HEAD", "/set/key/value")

    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "15")
    assert client.command("GET", "key").result == "value"


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "TRACE"])
def test_method__not_allowed(client: Client, method: str) -> None:
    answer = client.request(method, "/get/key")

    assert (answer.status, answer.body) == (405, b"")
    assert answer.headers["Allow"] == "HEAD, GET, POST, PUT"


@pytest.mark.parametrize("path", ["/pipeline", "/multi-exec"])
def test_method__batches_are_posted(client: Client, path: str) -> None:
    assert client.get(path).status == 405


def test_method__options(client: Client) -> None:
    assert client.request("OPTIONS", "/get/key", token="wrong").status == 200


def test_pipeline__errors_stand_in_their_slots(client: Client) -> None:
    answer = client.pipeline(
        ["SET", "a", "text"], ["INCR", "a"], ["GET", None], ["GET"], ["BLPOP", "a", 0], ["SLOWLOG"], ["INCR", "b"]
    )

    assert answer.status == 200
    assert answer.json == [
        {"result": "OK"},
        {"error": "ERR value is not an integer or out of range"},
        {"error": "ERR null args are not supported"},
        {"error": "ERR wrong number of arguments for 'get' command"},
        {"error": 'ERR Command "BLPOP" is not allowed in REST or it has a special context path'},
        {
            "error": "ERR Command is not available: 'SLOWLOG'. "
            "See https://upstash.com/docs/redis/overall/rediscompatibility for details"
        },
        {"result": 1},
    ]


@pytest.mark.parametrize("path", ["/pipeline", "/multi-exec"])
@pytest.mark.parametrize(
    ("body", "error"),
    [([], "ERR empty command"), ([["SET", "a", "1"], "GET"], "expected JSON array"), ([[]], "ERR empty command")],
)
def test_batch__wrong_shape_executes_nothing(client: Client, path: str, body: object, error: str) -> None:
    assert client.post(path, body).error == error

    assert client.command("EXISTS", "a").result == 0


def test_transaction__runtime_errors_stand_in_their_slots(client: Client) -> None:
    answer = client.transaction(["SET", "a", "text"], ["INCR", "a"], ["SELECT", "0"], ["GET", "a"])

    assert answer.json == [
        {"result": "OK"},
        {"error": "ERR value is not an integer or out of range"},
        {"result": "OK"},
        {"result": "text"},
    ]


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (["INCR"], "ERR wrong number of arguments for 'incr' command"),
        (["WATCH", "a"], 'ERR Command "WATCH" is not allowed in REST or it has a special context path'),
        (["GET", None], "ERR null args are not supported"),
    ],
)
def test_transaction__discarded_as_a_whole(client: Client, command: list[object], error: str) -> None:
    assert client.transaction(["SET", "a", "1"], command).error == error

    assert client.command("EXISTS", "a").result == 0
    assert client.transaction(["SET", "a", "1"], ["GET", "a"]).json == [{"result": "OK"}, {"result": "1"}]


def test_base64__every_string_but_ok(client: Client) -> None:
    client.command("SET", "key", "value")
    script = "return {'text', 7, false, {'deep'}, redis.status_reply('OK'), redis.status_reply('FINE')}"

    assert client.command("SET", "key", "value", Upstash_Encoding="base64").result == "OK"
    assert client.command("PING", Upstash_Encoding="base64").result == "UE9ORw=="
    assert client.command("EVAL", script, 0, Upstash_Encoding="base64").result == [
        "dGV4dA==", 7, None, ["ZGVlcA=="], "OK", "RklORQ==",
    ]  # fmt: skip
    assert client.command("INCR", "key", Upstash_Encoding="base64").error.startswith("ERR value is not an integer")


def test_json__what_is_no_utf8_becomes_the_replacement_character(client: Client) -> None:
    client.post("/set/key", b"a\xffb")

    assert client.command("GET", "key").result == "a�b"


def test_resp2__raw_replies(client: Client) -> None:
    client.post("/set/key", EVERY_BYTE)

    def resp2(*arguments: object) -> bytes:
        answer = client.command(*arguments, Upstash_Response_Format="resp2")
        assert answer.headers["Content-Type"] == "application/octet-stream"
        return answer.body

    assert resp2("GET", "key") == b"$256\r\n" + EVERY_BYTE + b"\r\n"
    assert resp2("SET", "key", "OK") == b"+OK\r\n"
    assert resp2("GET", "key") == b"$2\r\nOK\r\n"
    assert resp2("GET", "missing") == b"$-1\r\n"
    assert resp2("LPOP", "missing", "2") == b"*-1\r\n"
    assert resp2("SELECT", "0") == b"+OK\r\n"
    assert resp2("COMMAND") == b"*0\r\n"
    assert resp2("EVAL", "return {1, {'a', redis.status_reply('S')}}", "0") == b"*2\r\n:1\r\n*2\r\n$1\r\na\r\n+S\r\n"


def test_resp2__error(client: Client) -> None:
    answer = client.command("GET", Upstash_Response_Format="resp2")

    assert (answer.status, answer.body) == (400, b"-ERR wrong number of arguments for 'get' command\r\n")


def test_resp2__pipeline(client: Client) -> None:
    answer = client.pipeline(["SET", "a", "1"], ["NO"], ["EVAL", "return 'x'", 0], Upstash_Response_Format="resp2")

    refused, _, _ = answer.body.removeprefix(b"+OK\r\n").partition(b"\r\n")
    assert refused.startswith(b"-ERR Command is not available: 'NO'.")
    assert answer.body.endswith(b"\r\n$1\r\nx\r\n")


def test_resp2__a_transaction_answers_in_json(client: Client) -> None:
    answer = client.transaction(["SET", "a", "1"], Upstash_Response_Format="resp2")

    assert answer.json == [{"result": "OK"}]


@pytest.mark.parametrize(
    "headers",
    [
        {"Upstash_Encoding": "base32"},
        {"Upstash_Response_Format": "resp3"},
        {"Upstash_Encoding": "base64", "Upstash_Response_Format": "resp2"},
    ],
)
def test_format__refused_headers(client: Client, headers: dict[str, str]) -> None:
    assert client.command("SET", "a", "1", **headers).error.startswith("ERR ")

    assert client.command("EXISTS", "a").result == 0


def test_sync_token__advances_on_writes(client: Client) -> None:
    def token_after(*arguments: object) -> str:
        return client.command(*arguments).headers["Upstash-Sync-Token"]

    first = token_after("GET", "a")
    second = token_after("SET", "a", "1")
    assert second != first
    assert token_after("GET", "a") == second
    assert token_after("SCRIPT", "LOAD", "return 1") == second
    assert client.pipeline(["GET", "a"], ["INCR", "a"]).headers["Upstash-Sync-Token"] != second


@pytest.mark.parametrize("token", ["wrong", " ", "é", "only-reads-too"])
def test_token__wrong(client: Client, token: str) -> None:
    answer = client.request("POST", "/", ["PING"], token=token.encode().decode("latin-1"))

    assert (answer.status, answer.json) == (401, {"error": UNAUTHORIZED})


def test_token__missing(client: Client) -> None:
    assert client.post("/", ["PING"], Authorization="").status == 401


def test_token__without_bearer(client: Client) -> None:
    assert client.command("PING", Authorization=client.server.token).result == "PONG"


def test_token__in_the_query_goes_before_the_header(client: Client) -> None:
    assert client.post(f"/set/key/value?_token={client.server.token}&EX=9", token="wrong").result == "OK"

    assert 0 < client.command("TTL", "key").result <= 9
    assert client.get("/ping?_token=wrong").status == 401


def test_read_only_token__reads(client: Client) -> None:
    assert client.get("/get/key", token=READ_ONLY_TOKEN).result is None


@pytest.mark.parametrize(
    "command", [["SET", "a", "1"], ["EVALSHA", "0" * 40, 0], ["SCAN", 0], ["KEYS", "*"], ["ACL", "WHOAMI"]]
)
def test_read_only_token__refused_commands(client: Client, command: list[str]) -> None:
    refusal = f"NOPERM this user has no permissions to run the '{command[0].lower()}' command or its subcommand"

    assert client.command(*command, token=READ_ONLY_TOKEN).error == refusal
    assert client.transaction(["GET", "a"], command, token=READ_ONLY_TOKEN).error == refusal
    assert client.pipeline(["GET", "a"], command, token=READ_ONLY_TOKEN).json[1] == {"error": refusal}


@pytest.mark.parametrize("path", ["/monitor", "/_local/meter"])
def test_read_only_token__refused_paths(client: Client, path: str) -> None:
    assert client.get(path, token=READ_ONLY_TOKEN).status in (400, 401)


def test_size__request(client: Client) -> None:
    limit = 10 * 1024 * 1024
    fits = client.post("/set/key", b"x" * limit)
    too_large = client.post("/set/other", b"x" * (limit + 1))

    assert fits.result == "OK"
    assert too_large.error == f"ERR max request size exceeded. Limit: {limit} bytes, Actual: {limit + 1} bytes"
    assert client.command("EXISTS", "other").result == 0


def test_size__reply(client: Client) -> None:
    client.post("/set/key", b"x" * (6 * 1024 * 1024))

    error = client.command("MGET", "key", "key").error
    assert error.startswith("ERR max request size exceeded. Limit: 10485760 bytes, Actual: 12582")
    assert client.transaction(["GET", "key"], ["GET", "key"]).error.startswith("ERR max request size exceeded.")
    assert len(client.command("GET", "key").result) == 6 * 1024 * 1024


def test_errors__echoed_arguments_are_cut(client: Client) -> None:
    # JSON.GET is one of Upstash's commands, so it is asked of the server, which does not know it.
    error = client.command("JSON.GET", "secret").error

    assert error.startswith("ERR unknown command 'JSON.GET'; ")
    assert "secret" not in error


def test_request__splits_its_target() -> None:
    request = ServerRequest("GET", b"/get/key?a=b?c", {})

    assert (request.path, request.query) == (b"/get/key", b"a=b?c")


def test_json__is_what_json_says(client: Client) -> None:
    text = '"\\\n\u2028\x00é'
    client.command("SET", "key", text)

    assert json.loads(client.command("GET", "key").body) == {"result": text}
