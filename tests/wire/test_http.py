"""HTTP as servers and proxies really speak it, from scripted servers on real sockets."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest

from django_upstash import exceptions
from django_upstash.connections import Connection
from django_upstash.dev_server import LocalServer
from django_upstash.operations import command
from django_upstash.settings.conf import make_settings
from django_upstash.wire import endpoint
from django_upstash.wire.batching import PROBATION
from tests.fault_proxy import TLSProxy

Answer = Callable[[str, list[Any]], bytes]


def response(body: bytes, *, status: str = "200 OK", head: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode() + body


def result(value: Any) -> bytes:
    return response(json.dumps({"result": value}).encode())


class ScriptedServer:
    """Answers each request with what ``answer(path, document)`` returns, and closes where that is empty."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.accepted = 0

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._threads.append(threading.Thread(target=self._serve, args=(accepted,)))
            self._threads[-1].start()

    def _serve(self, accepted: socket.socket) -> None:
        with accepted, accepted.makefile("rb") as stream:
            while head := self._head(stream):
                path, headers = head
                body = stream.read(int(headers.get("content-length", 0)))
                self.requests.append((path, headers, body))
                answer = self._answer(path, json.loads(body) if body[:1] == b"[" else [body])
                if not answer:
                    return
                accepted.sendall(answer)
                if b"Connection: close" in answer:
                    return

    def _head(self, stream: Any) -> tuple[str, dict[str, str]] | None:
        line = stream.readline().decode()
        if not line:
            return None
        headers: dict[str, str] = {}
        while (header := stream.readline().decode().strip()) != "":
            name, _, value = header.partition(": ")
            headers[name.lower()] = value
        return line.split(" ")[1], headers


@pytest.fixture
def scripted() -> Iterator[Callable[[Answer], tuple[ScriptedServer, Connection]]]:
    opened: list[Any] = []

    def make(answer: Answer) -> tuple[ScriptedServer, Connection]:
        server = ScriptedServer(answer).__enter__()
        connection = Connection(make_settings("rest", {"URL": server.url, "TOKEN": "t", "TIMEOUT": 2}))
        opened.append((server, connection))
        return server, connection

    yield make
    for server, connection in opened:
        connection.close()
        server.__exit__()


def plain_echo(path: str, document: list[Any]) -> bytes:
    return result(document[1] if len(document) > 1 else "PONG")


def test_encoding__a_server_that_ignores_base64_is_noticed(scripted: Any) -> None:
    server, connection = scripted(plain_echo)
    assert connection.run(command("ECHO", "dGV4dA==")) == b"dGV4dA=="
    assert len(server.requests) == 2
    assert connection.run(command("ECHO", "é")) == "é".encode()
    assert len(server.requests) == 3


def base64_only(path: str, document: list[Any]) -> bytes:
    return result(base64.b64encode((document[1] if len(document) > 1 else "PONG").encode()).decode())


def test_resp2__a_server_that_ignores_it_is_asked_once_more_and_remembered(scripted: Any) -> None:
    server, connection = scripted(base64_only)
    assert connection.run(command("GET", "k")) == b"k"
    assert len(server.requests) == 3  # the encoding, RESP2, base64
    assert connection.run(command("GET", "k")) == b"k"
    assert len(server.requests) == 4


def test_raw_body__a_server_without_paths_gets_marked_text(scripted: Any) -> None:
    from django_upstash.codecs import Encoded

    def answer(path: str, document: list[Any]) -> bytes:
        if path != "/":
            return response(b"<h1>Not Found</h1>", status="404 Not Found")
        return plain_echo(path, document)

    server, connection = scripted(answer)
    value = Encoded(bytes(range(256)) * 8)
    assert connection.run(command("SET", value.as_text(), value)) == value.as_text().encode()
    (path, _, _), (again, _, body) = server.requests[-2:]
    assert path.startswith("/SET/")
    assert (again, json.loads(body)[2]) == ("/", value.as_text())


@pytest.mark.parametrize(
    "answer",
    [
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n{"resu\r\n9\r\nlt":"OK"}\r\n0\r\n\r\n',
        b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"result":"OK"}',
        b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"result":"OK"}',
        b'HTTP/1.0 200 OK\r\nContent-Length: 15\r\n\r\n{"result":"OK"}Connection: close'[:-17],
        response(b'  {"result": "OK"}\n', head="X-Extra: 1\r\n"),
    ],
)
@pytest.mark.parametrize("way", ["sync", "async"])
def test_response__in_each_framing_of_http(scripted: Any, answer: bytes, way: str) -> None:
    _, connection = scripted(lambda path, document: answer)
    for _ in range(3):
        assert run(connection, way) == b"OK"


def run(connection: Connection, way: str) -> Any:
    if way == "sync":
        return connection.run(command("SET", "k", "v"))

    async def main() -> Any:
        connection.route._lanes.current()._batches = PROBATION  # type: ignore[attr-defined]
        return await connection.arun(command("SET", "k", "v"))

    return asyncio.run(main())


@pytest.mark.parametrize("way", ["sync", "async"])
def test_response__a_second_one_unasked_is_nobody_s(scripted: Any, way: str) -> None:
    _, connection = scripted(lambda path, document: result("OK") + result("somebody else's"))
    for _ in range(3):
        assert run(connection, way) == b"OK"


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", exceptions.ProtocolError, "not HTTP"),
        (response(b"<html>login</html>"), exceptions.ProtocolError, "HTML"),
        (response(b"", status="301 Moved", head="Location: https://elsewhere\r\n"), exceptions.ProtocolError, "301"),
        (response(b"no", status="404 Not Found"), exceptions.ProtocolError, "REST URL"),
        (response(b"no", status="403 Forbidden"), exceptions.AuthenticationError, "refused the token"),
        (response(b"oops", status="500 Internal Server Error"), exceptions.ServiceUnavailableError, "500"),
        (response(b"{}"), exceptions.ProtocolError, "neither a result nor an error"),
        (response(b"[1, 2]"), exceptions.ProtocolError, "neither a result nor an error"),
        (response(b'{"result": {"a": 1}}'), exceptions.ProtocolError, "dict"),
        (response(b'{"result": "not base64!"}'), exceptions.ProtocolError, "not base64"),
        (response(b'{"result": tru'), exceptions.ProtocolError, "not JSON"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\nConnection: close\r\n\r\n{", exceptions.ProtocolError, "middle"),
    ],
)
@pytest.mark.parametrize("way", ["sync", "async"])
def test_response__that_upstash_never_gives(
    scripted: Any, answer: bytes, kind: type[Exception], text: str, way: str
) -> None:
    state = {"answer": result("UE9ORw==")}
    _, connection = scripted(lambda path, document: state["answer"])
    connection.route._learn_encoding()
    state["answer"] = answer
    with pytest.raises(kind, match=text):
        run(connection, way)
    state["answer"] = result("OK")
    assert run(connection, way) == b"OK"


def test_status_500_with_an_error__is_the_command_s(scripted: Any) -> None:
    answer = response(b'{"error": "ERR Error running script: boom"}', status="500 Internal Server Error")
    _, connection = scripted(lambda path, document: result("UE9ORw==") if document[0] == "PING" else answer)
    (error,) = connection.route.execute([("EVAL", "x", 0)])
    assert type(error) is exceptions.ResponseError


class TunnelProxy:
    """An HTTP proxy that opens tunnels, with a password where one is given."""

    def __init__(self, credentials: str | None = None) -> None:
        self._credentials = credentials
        self.tunnels: list[str] = []

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.netloc = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        with accepted:
            head = b""
            while b"\r\n\r\n" not in head:
                head += accepted.recv(1)
            basic = base64.b64encode((self._credentials or "").encode())
            if self._credentials and basic not in head:
                accepted.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            authority = head.split(b" ")[1].decode()
            self.tunnels.append(authority)
            with socket.create_connection(("127.0.0.1", int(authority.rpartition(":")[2]))) as upstream:
                accepted.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=pump, args=(upstream, accepted), daemon=True)
                back.start()
                pump(accepted, upstream)
                back.join()


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    finally:
        for sock in (source, sink):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


@pytest.mark.parametrize("way", ["sync", "async"])
def test_proxy__of_the_environment_tunnels_tls(
    local_server: LocalServer, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    # The name a proxy resolves; loopback names themselves never go through a proxy.
    monkeypatch.setattr(endpoint, "is_loopback", lambda host: False)
    port = int(local_server.url.rpartition(":")[2])
    with TLSProxy(port) as tls, TunnelProxy("me:s3cret") as proxy:
        entry = {"URL": f"https://localhost:{tls.port}", "TOKEN": local_server.token, "TIMEOUT": 2}
        entry["CA_CERTS"] = str(tls.certificate.ca_file)
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:s3cret@{proxy.netloc}")
        connection = Connection(make_settings("rest", entry))
        assert run(connection, way) == b"OK"
        connection.close()
        assert set(proxy.tunnels) == {f"localhost:{tls.port}"}

        monkeypatch.setenv("HTTPS_PROXY", f"http://me:wrong-s3cret@{proxy.netloc}")
        connection = Connection(make_settings("rest", entry))
        with pytest.raises(exceptions.AuthenticationError, match="407") as caught:
            run(connection, way)
        assert "s3cret" not in str(caught.value)
        connection.close()

        monkeypatch.setenv("NO_PROXY", "localhost")
        tunnels = len(proxy.tunnels)
        connection = Connection(make_settings("rest", entry))
        assert run(connection, way) == b"OK"
        connection.close()
        assert len(proxy.tunnels) == tunnels
