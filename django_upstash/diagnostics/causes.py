"""
The causes of failures that this package knows, with the next step for each.

The table is read from the top, and the first row that fits a failure speaks. A row looks at the error, at what the
operating system or TLS said beneath it, and at the URL: the same silence means one thing on ``redis://`` and another on
``https://``.
"""

from __future__ import annotations

import errno
import socket
import ssl
from dataclasses import dataclass

from django_upstash import exceptions
from django_upstash.diagnostics.conditions import (
    Fits,
    beneath,
    certificate,
    every,
    handshake,
    has_no_password,
    in_handshake,
    raised,
    scheme,
    system,
    through_proxy,
)

_TLS = ("rediss", "https")
# OpenSSL's X509_V_ERR_…: https://docs.openssl.org/master/man3/X509_STORE_CTX_get_error/
_NOT_YET_VALID, _EXPIRED, _WRONG_HOST, _WRONG_ADDRESS = 9, 10, 62, 64
_UNKNOWN_AUTHORITY = (18, 19, 20, 21)  # self-signed, in the chain or alone; no issuer here; the first unverifiable
_PLAINTEXT = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG")


@dataclass(frozen=True)
class CauseRow:
    """One row of the table: which failures it fits, and the two sentences, with a ``Failure`` as ``f``."""

    fits: Fits
    cause: str
    next_step: str


_native = scheme("redis", "rediss", "unix", "embedded")
_rest = scheme("http", "https")
_closed = raised(
    exceptions.ConnectionError,
    r"closed the connection (before|during)|[Cc]onnection reset|[Bb]roken pipe|Error while reading",
)

TABLE: tuple[CauseRow, ...] = (
    # The way to the server.
    CauseRow(
        every(through_proxy, beneath(OSError)),
        "The proxy at {f.dialled}, which the environment names, cannot be reached.",
        "Correct HTTPS_PROXY, or put {f.host} into NO_PROXY.",
    ),
    CauseRow(
        raised(exceptions.UpstashError, "^The proxy|^The environment names a proxy"),
        "{f.detail}.",
        "The proxy is the one that HTTPS_PROXY names; put {f.host} into NO_PROXY where none is needed.",
    ),
    CauseRow(
        every(beneath(socket.gaierror), system(socket.EAI_AGAIN)),
        "No name server answered when asked for {f.host}.",
        "Check this machine's network and DNS.",
    ),
    CauseRow(
        beneath(socket.gaierror),
        "There is no host named {f.host}.",
        "Correct the host in the URL; an Upstash database that was deleted or archived has lost its name.",
    ),
    CauseRow(
        every(scheme("unix"), beneath(FileNotFoundError)),
        "There is no socket at {f.where}.",
        "Start the server, or correct the path in the URL.",
    ),
    CauseRow(
        every(scheme("unix"), beneath(PermissionError)),
        "This process may not open the socket {f.where}.",
        "Run it as a user who may, or widen the server's unixsocketperm.",
    ),
    CauseRow(
        beneath(ConnectionRefusedError),
        "Nothing listens at {f.where}.",
        "Start the server there, or correct host and port in the URL.",
    ),
    CauseRow(
        system(errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN),
        "There is no way to {f.where} from this machine.",
        "Check its network, VPN and firewall.",
    ),
    # TLS.
    CauseRow(
        certificate(_EXPIRED),
        "The certificate of {f.host} has expired.",
        "Renew it on the server; where it is valid, set this machine's clock.",
    ),
    CauseRow(
        certificate(_NOT_YET_VALID),
        "The certificate of {f.host} is not valid yet.",
        "Set this machine's clock; where it is right, wait or renew the certificate.",
    ),
    CauseRow(
        certificate(_WRONG_HOST, _WRONG_ADDRESS),
        "The certificate of the server is for another name than {f.host}.",
        "Write into the URL the name that the certificate was issued for.",
    ),
    CauseRow(
        certificate(*_UNKNOWN_AUTHORITY),
        "The certificate of {f.host} is signed by nobody this machine trusts.",
        "Put the authority's PEM file into CA_CERTS; Upstash's own certificates need none.",
    ),
    CauseRow(
        certificate(),
        "The certificate of {f.host} or of its authority is refused: {f.certificate_error}.",
        "Issue it with what is missing; Python 3.13 and later insist on keyUsage and on the key identifiers.",
    ),
    CauseRow(
        handshake("NO_CERTIFICATE_OR_CRL_FOUND", "NO_START_LINE"),
        "The file that CA_CERTS names holds no certificate.",
        "Name a file of PEM certificates, or leave CA_CERTS out, as for Upstash.",
    ),
    CauseRow(
        every(scheme("rediss"), handshake(*_PLAINTEXT)),
        "{f.where} speaks without TLS, and the URL asks for it.",
        "Write redis:// for a server on this machine or in a private network; otherwise correct the port.",
    ),
    CauseRow(
        every(scheme("https"), handshake(*_PLAINTEXT)),
        "{f.where} speaks without TLS, and the URL asks for it.",
        "Correct the port; http:// is for a server on this machine.",
    ),
    CauseRow(
        every(scheme("https"), in_handshake),
        "{f.where} takes connections but says nothing to a TLS handshake.",
        "Correct the port; Upstash's for REST is 443, which need not be written.",
    ),
    CauseRow(
        every(scheme("rediss"), in_handshake),
        "{f.where} takes connections but says nothing to a TLS handshake.",
        "A Redis without TLS does so: write redis:// for one on this machine or in a private network.",
    ),
    CauseRow(
        every(
            scheme(*_TLS),
            beneath(ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionResetError),
            raised(Exception, "connect(ing)? to|^Error "),
        ),
        "{f.where} closed the connection during the TLS handshake.",
        "Check that this port speaks TLS; Upstash's are 6379 for rediss:// and 443 for https://.",
    ),
    CauseRow(
        handshake(),
        "TLS with {f.where} failed: {f.tls_reason}.",
        "Check which TLS versions and client certificates the server asks for.",
    ),
    # Something else than what the URL says.
    CauseRow(
        every(_native, raised(exceptions.ProtocolError, 'got "H"')),
        "A web server answers at {f.where}, not Redis.",
        "For REST write https://{f.host} and give TOKEN; for the native protocol correct the port (Upstash's is 6379).",
    ),
    CauseRow(
        every(_native, raised(exceptions.ProtocolError, r'got "\\x15"')),
        "{f.where} wants TLS, and the URL has none.",
        "Write rediss://, with two s.",
    ),
    CauseRow(
        every(_native, raised(exceptions.ProtocolError)),
        "What answers at {f.where} is not Redis.",
        "Correct host and port in the URL.",
    ),
    CauseRow(
        every(scheme("redis"), _closed),
        "{f.where} takes connections and closes them at the first word.",
        "Servers that want TLS do so: write rediss://, with two s.",
    ),
    CauseRow(
        every(_native, _closed),
        "{f.where} closed the connection before it answered.",
        "Check the port, and whether the server restarts or limits its clients; its log says why.",
    ),
    CauseRow(
        every(_rest, raised(exceptions.ProtocolError, "before it answered")),
        "{f.where} closes the connection instead of answering.",
        "A Redis port does so when it is sent HTTP: for the native protocol write rediss:// with the password.",
    ),
    CauseRow(
        every(_rest, raised(exceptions.ProtocolError, "not HTTP")),
        "What answers at {f.where} is not a web server.",
        "Correct host and port in the URL; for the native protocol write rediss:// with the password.",
    ),
    CauseRow(
        every(_rest, raised(exceptions.ProtocolError, "middle of its answer")),
        "The answer of {f.where} broke off.",
        "Try again; if it stays so, look at the proxies on the way.",
    ),
    CauseRow(
        every(_rest, raised(exceptions.ProtocolError)),
        "What answers at {f.url} is not Upstash REST ({f.answer}).",
        "Copy UPSTASH_REDIS_REST_URL from the Upstash console once more.",
    ),
    CauseRow(
        every(_rest, _closed),
        "{f.where} closed the connection before it answered.",
        "Try again; if it stays so, look at the proxies on the way.",
    ),
    CauseRow(
        raised(exceptions.ServiceUnavailableError, "HTTP 429"),
        "The server has too many requests at the moment (HTTP 429).",
        "Try again in a minute; send fewer at once.",
    ),
    CauseRow(
        raised(exceptions.ServiceUnavailableError),
        "{f.detail}.",
        "Try again in a minute; https://status.upstash.com tells of outages.",
    ),
    # Who may do what.
    CauseRow(
        every(_rest, raised(exceptions.AuthenticationError, "HTTP 403")),
        "{f.url} refuses access (HTTP 403).",
        "Check the token, and which addresses the database or a firewall before it lets in.",
    ),
    CauseRow(
        every(_rest, raised(exceptions.AuthenticationError)),
        "{f.url} does not accept the token.",
        "Copy UPSTASH_REDIS_REST_TOKEN of this very database once more; the database's password is not its token.",
    ),
    CauseRow(
        every(raised(exceptions.AuthenticationError), has_no_password),
        "The server wants a password, and none is configured.",
        "Write it into the URL, {f.settings.scheme}://default:PASSWORD@HOST, or give PASSWORD.",
    ),
    CauseRow(
        raised(exceptions.AuthenticationError),
        "The server does not accept this user name and password.",
        "Copy them once more; percent-encode what is special in them, or give USERNAME and PASSWORD.",
    ),
    CauseRow(
        raised(exceptions.ConnectionError, "called without any password"),
        "The server has no password, and one is configured.",
        "Leave the password out, or give the server one.",
    ),
    CauseRow(
        raised(exceptions.ConnectionError, "DB index is out of range|SELECT is not allowed"),
        "The server has no database of the number in the URL.",
        "Leave the number out, and keep projects apart by KEY_PREFIX.",
    ),
    CauseRow(
        raised(exceptions.NoPermissionError, r"\bkeys?\b|channel"),
        "The {f.credentials} may not use this key ({f.detail}).",
        "Let the ACL of the user include the keys that the site uses.",
    ),
    CauseRow(
        raised(exceptions.NoPermissionError),
        "The {f.credentials} is right but may not run this command ({f.detail}).",
        "Use the standard one, not the read-only one, or have the command allowed.",
    ),
    CauseRow(
        raised(exceptions.ReadOnlyError, "upgrade"),
        "The server is being upgraded and takes no writes for the moment.",
        "Try again in a minute.",
    ),
    CauseRow(
        raised(exceptions.ReadOnlyError),
        "This server is a replica, and replicas take no writes.",
        "Write the primary's address into the URL.",
    ),
    # The server's state.
    CauseRow(
        raised(exceptions.BusyLoadingError),
        "The server is loading its data into memory.",
        "Wait until it has finished.",
    ),
    CauseRow(
        raised(exceptions.MaxConnectionsError, "in use"),
        "All connections of this process are in use.",
        "Raise MAX_CONNECTIONS, or use fewer threads.",
    ),
    CauseRow(
        raised(exceptions.MaxConnectionsError),
        "The server takes no more connections.",
        "Lower MAX_CONNECTIONS or the number of processes; with many short-lived ones, use REST (https://).",
    ),
    CauseRow(
        raised(exceptions.QuotaExceededError),
        "The requests of the plan are used up.",
        "Choose a larger plan in the Upstash console, or wait for the next billing period.",
    ),
    CauseRow(
        raised(exceptions.OutOfMemoryError),
        "The database is full; reads and deletes still work.",
        "Delete keys, give them lifetimes, or choose a larger plan; eviction is for databases with nothing but caches.",
    ),
    CauseRow(
        raised(exceptions.PayloadTooLargeError),
        "A request or reply is larger than the server allows ({f.detail}).",
        "Store it in smaller pieces.",
    ),
    CauseRow(
        raised(exceptions.UnknownCommandError),
        "The server does not have a command that is needed ({f.detail}).",
        "Use Redis 6.2, Valkey 7.2 or later, or Upstash.",
    ),
    CauseRow(
        raised(exceptions.ResponseError, "^DENIED"),
        "The server is in protected mode, which lets in only its own machine.",
        "Give the server a password, or connect over its loopback address.",
    ),
    CauseRow(
        raised(exceptions.ResponseError, "^(MOVED|ASK|CLUSTERDOWN|CROSSSLOT)"),
        "The server is a node of a cluster, which this package does not speak to.",
        "Use a database that is not clustered.",
    ),
    CauseRow(
        raised(exceptions.ResponseError, "^(MISCONF|NOREPLICAS|MASTERDOWN|BUSY)"),
        "The server is in trouble and says so: {f.detail}.",
        "Look into the server's log.",
    ),
    # Silence.
    CauseRow(
        raised(exceptions.TimeoutError, "connecting|No connection to"),
        "No connection to {f.where} within {f.seconds} s.",
        "Check host, port and firewall; for a server far away, allow more time.",
    ),
    CauseRow(
        raised(exceptions.TimeoutError),
        "{f.where} did not answer within {f.seconds} s.",
        "Check that host and port are right and the server is not busy; for one far away, allow more time.",
    ),
    CauseRow(lambda failure: True, "{f.detail}.", ""),
)
