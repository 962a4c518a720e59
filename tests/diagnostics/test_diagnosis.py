"""Faults made on the wire: each is told apart, by its cause and the next step, and no secret shows."""

from __future__ import annotations

import datetime
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from django_upstash import exceptions
from django_upstash.dev_server import LocalServer
from django_upstash.diagnostics.diagnosis import diagnose
from django_upstash.settings.conf import make_settings
from tests.diagnostics.faults import BRIEF, PASSWORD, diagnosis_of, port_of
from tests.diagnostics.impostors import http, impostor
from tests.fault_proxy import FaultProxy, TLSProxy
from tests.servers import Certificate, Server, certificate

DAY = datetime.timedelta(days=1)
TLS_ROUTES = pytest.mark.parametrize("scheme", ["rediss", "https"])


@pytest.fixture
def local_server(local_server: LocalServer) -> Iterator[LocalServer]:
    local_server.clear_faults()
    yield local_server
    local_server.clear_faults()


@pytest.fixture
def upstream(scheme: str, valkey: Server, local_server: LocalServer) -> int:
    """The port that speaks, without TLS, what the scheme stands for."""
    return valkey.port if scheme == "rediss" else port_of(local_server)


def issued(directory: Path, *names: str, **validity: Any) -> Certificate:
    made = Certificate(*(directory / name for name in ("ca.pem", "cert.pem", "key.pem")))
    authority = trustme.CA()
    leaf = authority.issue_cert(*names, **validity)
    authority.cert_pem.write_to_path(made.ca_file)
    leaf.private_key_pem.write_to_path(made.key_file)
    leaf.cert_chain_pems[0].write_to_path(made.cert_file)
    return made


# The way to the server.


@TLS_ROUTES
def test_diagnose__host_without_address(scheme: str) -> None:
    said = diagnosis_of(f"{scheme}://no-such-host.invalid")
    assert re.match("There is no host named|No name server answered", said)
    assert "no-such-host.invalid" in said


@pytest.mark.parametrize("scheme", ["redis", "rediss", "http", "https"])
def test_diagnose__refused(scheme: str, valkey: Server) -> None:
    with FaultProxy(valkey.port) as proxy:
        proxy.refuse()
        said = diagnosis_of(f"{scheme}://127.0.0.1:{proxy.port}")
    assert said.startswith(f"Nothing listens at 127.0.0.1:{proxy.port}. Start the server there")


def test_diagnose__no_unix_socket(tmp_path: Path) -> None:
    assert diagnosis_of(f"unix://{tmp_path}/x.sock").startswith(f"There is no socket at {tmp_path}/x.sock. Start")


def test_diagnose__nothing_passes(valkey: Server) -> None:
    with FaultProxy(valkey.port) as proxy:
        proxy.blackhole()
        said = diagnosis_of(proxy.url, within=BRIEF)
    assert said.startswith(f"127.0.0.1:{proxy.port} did not answer within 0.3 s. Check that host and port")


def test_diagnose__nothing_passes_over_rest(local_server: LocalServer) -> None:
    local_server.inject("latency", seconds=2 * BRIEF)
    said = diagnosis_of(local_server.url, TOKEN=local_server.token, within=BRIEF)
    assert "did not answer within 0.3 s. Check that host and port" in said


def test_diagnose__backlog_full() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(3)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(address)
        said = diagnosis_of(f"redis://127.0.0.1:{address[1]}", within=BRIEF)
        for client in waiting:
            client.close()
    assert said.startswith(f"No connection to 127.0.0.1:{address[1]} within 0.3 s. Check host, port and firewall")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http("403 Forbidden"), "The proxy refused to open a tunnel to the server (HTTP 403)."),
        (http("407 Proxy Authentication Required"), "The proxy wants a user name and password (407)"),
        (b"", "The proxy closed the connection"),
    ],
)
def test_diagnose__proxy_without_tunnel(answer: bytes, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with impostor(answer) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://ann:{PASSWORD}@127.0.0.1:{port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert diagnosis_of("https://eu1-example.upstash.io").startswith(said)


def test_diagnose__proxy_unreachable(monkeypatch: pytest.MonkeyPatch, valkey: Server) -> None:
    with FaultProxy(valkey.port) as proxy:
        proxy.refuse()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        said = diagnosis_of("https://eu1-example.upstash.io")
    assert said.startswith(f"The proxy at 127.0.0.1:{proxy.port}, which the environment names, cannot be reached.")
    assert said.endswith("or put eu1-example.upstash.io into NO_PROXY.")


# TLS.


@TLS_ROUTES
def test_diagnose__certificate_of_an_unknown_authority(scheme: str, upstream: int) -> None:
    with TLSProxy(upstream) as proxy:
        said = diagnosis_of(f"{scheme}://localhost:{proxy.port}")
    assert said.startswith("The certificate of localhost is signed by nobody this machine trusts. Put")


@TLS_ROUTES
@pytest.mark.parametrize(
    ("names", "host", "begins", "ends", "said"),
    [
        (["other.example"], "localhost", -DAY, DAY, "The certificate of the server is for another name than localhost"),
        (["localhost"], "127.0.0.1", -DAY, DAY, "The certificate of the server is for another name than 127.0.0.1"),
        (["localhost"], "localhost", -2 * DAY, -DAY, "The certificate of localhost has expired. Renew"),
        (["localhost"], "localhost", DAY, 2 * DAY, "The certificate of localhost is not valid yet. Set"),
    ],
)
def test_diagnose__certificate_not_valid_here(
    scheme: str,
    upstream: int,
    names: list[str],
    host: str,
    begins: datetime.timedelta,
    ends: datetime.timedelta,
    said: str,
    tmp_path: Path,
) -> None:
    now = datetime.datetime.now(datetime.UTC)
    made = issued(tmp_path, *names, not_before=now + begins, not_after=now + ends)
    with TLSProxy(upstream, made) as proxy:
        assert diagnosis_of(f"{scheme}://{host}:{proxy.port}", CA_CERTS=made.ca_file).startswith(said)


@TLS_ROUTES
def test_diagnose__authorities_file_without_certificates(scheme: str, upstream: int, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    with TLSProxy(upstream) as proxy:
        said = diagnosis_of(f"{scheme}://localhost:{proxy.port}", CA_CERTS=tmp_path / "ca.pem")
    assert said.startswith("The file that CA_CERTS names holds no certificate.")


@pytest.mark.parametrize(
    ("scheme", "next_step"), [("rediss", "A Redis without TLS does so: write redis://"), ("https", "Correct the port")]
)
def test_diagnose__tls_to_a_redis_without(scheme: str, next_step: str, valkey: Server) -> None:
    said = diagnosis_of(f"{scheme}://127.0.0.1:{valkey.port}", within=BRIEF)
    assert said.startswith(
        f"127.0.0.1:{valkey.port} takes connections but says nothing to a TLS handshake. {next_step}"
    )


@pytest.mark.parametrize(
    ("scheme", "next_step"), [("rediss", "Write redis://"), ("https", "Correct the port; http://")]
)
def test_diagnose__tls_to_a_server_that_answers_without(scheme: str, next_step: str, local_server: LocalServer) -> None:
    where = f"127.0.0.1:{port_of(local_server)}"
    assert diagnosis_of(f"{scheme}://{where}").startswith(
        f"{where} speaks without TLS, and the URL asks for it. {next_step}"
    )


@TLS_ROUTES
@pytest.mark.parametrize("reset", [False, True])
def test_diagnose__tls_to_a_server_that_closes(scheme: str, reset: bool) -> None:
    with impostor(reset=reset) as port:
        said = diagnosis_of(f"{scheme}://127.0.0.1:{port}")
    assert said.startswith(f"127.0.0.1:{port} closed the connection during the TLS handshake. Check")


@pytest.mark.parametrize("credentials", ["", f":{PASSWORD}@"])
def test_diagnose__no_tls_where_it_is_needed(credentials: str, valkey: Server) -> None:
    with TLSProxy(valkey.port) as proxy:
        said = diagnosis_of(f"redis://{credentials}127.0.0.1:{proxy.port}")
    assert said.endswith("Servers that want TLS do so: write rediss://, with two s.")


@pytest.mark.parametrize("credentials", ["", f":{PASSWORD}@"])
def test_diagnose__no_tls_where_it_is_needed_and_the_server_resets(credentials: str) -> None:
    # As Upstash does.
    with impostor(reset=True) as port:
        said = diagnosis_of(f"redis://{credentials}127.0.0.1:{port}")
    assert said.endswith("Servers that want TLS do so: write rediss://, with two s.")


def test_diagnose__no_tls_where_it_is_needed_and_the_server_sends_an_alert() -> None:
    with impostor(b"\x15\x03\x01\x00\x02\x02\x46") as port:
        said = diagnosis_of(f"redis://127.0.0.1:{port}")
    assert said == f"127.0.0.1:{port} wants TLS, and the URL has none. Write rediss://, with two s."


# Something else than what the URL says.


@pytest.mark.parametrize("credentials", ["", f":{PASSWORD}@"])
def test_diagnose__native_url_of_a_rest_server(credentials: str, local_server: LocalServer) -> None:
    where = f"127.0.0.1:{port_of(local_server)}"
    said = diagnosis_of(f"redis://{credentials}{where}")
    assert said.startswith(
        f"A web server answers at {where}, not Redis. For REST write https://127.0.0.1 and give TOKEN"
    )


def test_diagnose__native_url_of_a_rest_server_with_tls(local_server: LocalServer) -> None:
    with TLSProxy(port_of(local_server)) as proxy:
        said = diagnosis_of(f"rediss://localhost:{proxy.port}", CA_CERTS=certificate().ca_file)
    assert said.startswith(f"A web server answers at localhost:{proxy.port}, not Redis.")


@pytest.mark.parametrize("with_tls", [False, True])
def test_diagnose__rest_url_of_a_redis(with_tls: bool, valkey: Server) -> None:
    with TLSProxy(valkey.port) as proxy:
        url = f"https://localhost:{proxy.port}" if with_tls else f"http://localhost:{valkey.port}"
        said = diagnosis_of(url, CA_CERTS=certificate().ca_file)
    assert "closes the connection instead of answering. A Redis port does so when it is sent HTTP" in said


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http("200 OK", "<html>Welcome</html>"), "is not Upstash REST (HTTP 200 with a body that is HTML). Copy"),
        (http("404 Not Found", "<html></html>"), "is not Upstash REST (HTTP 404). Copy"),
        (http("301 Moved Permanently", "", "Location: /en"), "is not Upstash REST (HTTP 301). Copy"),
        (http("403 Forbidden", "<html></html>"), "refuses access (HTTP 403). Check the token"),
        (http("503 Service Unavailable", "<html></html>"), "is not available now (HTTP 503). Try again"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "is not a web server. Correct host and port"),
    ],
)
def test_diagnose__rest_url_of_something_else(answer: bytes, said: str) -> None:
    with impostor(answer) as port:
        assert said in diagnosis_of(f"http://127.0.0.1:{port}")


def test_diagnose__native_url_of_something_else() -> None:
    with impostor(b"SSH-2.0-OpenSSH_9.2\r\n") as port:
        assert diagnosis_of(f"redis://127.0.0.1:{port}").startswith(f"What answers at 127.0.0.1:{port} is not Redis.")


@pytest.mark.parametrize(
    ("code", "words", "expected"),
    [
        (92, "CA cert does not include key usage extension", "CA cert does not include key usage extension"),
        (85, "Missing Authority Key Identifier", "Missing Authority Key Identifier"),
        (19, "self-signed certificate in certificate chain", "signed by nobody this machine trusts"),
        (20, "unable to get local issuer certificate", "signed by nobody this machine trusts"),
    ],
)
def test_certificate__refused_for_what_it_lacks_in_openssls_words(code: int, words: str, expected: str) -> None:
    """Python 3.13 and later refuse authorities without keyUsage; the reason is not that nobody trusts them."""
    refusal = ssl.SSLCertVerificationError(1, f"certificate verify failed: {words}")
    refusal.verify_code, refusal.verify_message = code, words
    error = exceptions.ConnectionError("Cannot connect.")
    error.__cause__ = refusal
    settings = make_settings("default", {"URL": "rediss://redis.example:6379", "CA_CERTS": certificate().ca_file})
    assert expected in diagnose(error, settings).cause
