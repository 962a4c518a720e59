"""One connection's settings, checked and typed. ``conf`` makes them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, urlsplit

from django_upstash.credentials import Secret
from django_upstash.settings import redis_arguments
from django_upstash.settings.validation import ROUTE_BY_SCHEME, RouteName


@dataclass(frozen=True, kw_only=True)
class ConnectionSettings:
    """
    One entry of ``settings.UPSTASH``, checked and typed. Times are in seconds, sizes in bytes.

    The field names are the lower-case forms of the setting's keys; secrets are left out of ``repr``.
    """

    alias: str
    url: str = field(repr=False)  # without user and password
    token: str | None = field(default=None, repr=False)
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    timeout: float = 5.0  # of one operation, retries included
    connect_timeout: float | None = None  # None: as `timeout`
    pool_timeout: float | None = None  # wait for a free connection; None: as `timeout`
    max_connections: int = 10  # of the threads of a process, and as many of its event loops together
    retries: int = 1  # only where nothing can happen twice
    idle_check: float = 10.0  # a connection idle for longer is tested before what may not happen twice
    max_request_size: int = 10 * 1024 * 1024  # Upstash's limit, requests and replies
    read_your_writes: bool = True
    telemetry: bool = False
    ca_certs: str | None = None  # a PEM file beside the system's authorities
    verify_tls: bool = True
    allow_plaintext: bool = False  # http:// or redis:// to a public host
    allow_embedded: bool = False  # embedded:// outside DEBUG and test runs
    verify: bool = False  # at first use, ask the server who it is, and log it
    source: str | None = None  # where the URL comes from, such as an environment variable: named in messages

    @property
    def parts(self) -> SplitResult:
        return urlsplit(self.url)

    @property
    def scheme(self) -> str:
        return self.parts.scheme.lower()

    @property
    def route(self) -> RouteName:
        return ROUTE_BY_SCHEME[self.scheme]

    @property
    def connect_seconds(self) -> float:
        return self.timeout if self.connect_timeout is None else self.connect_timeout

    @property
    def pool_seconds(self) -> float:
        return self.timeout if self.pool_timeout is None else self.pool_timeout

    @property
    def user_and_password(self) -> tuple[str | None, str | None]:
        """The native route's credentials, percent-decoded; None for what is not given."""
        return self.username, self.password

    @property
    def database(self) -> int:
        """The number of the database; Upstash has only 0."""
        return redis_arguments.database(self.parts) or 0

    @property
    def safe_url(self) -> str:
        """The URL without user, password, query and fragment, fit to be shown."""
        parts = self.parts
        host = parts.hostname or ""
        if ":" in host:
            host = f"[{host}]"
        if parts.port:
            host = f"{host}:{parts.port}"
        return f"{self.scheme}://{host}{parts.path}"

    @property
    def secrets(self) -> frozenset[str]:
        """All that must never be shown, to be cut from texts that others wrote."""
        given = [text for text in (self.token, self.password) if text]
        return frozenset(map(Secret, [*given, *(quote(text, safe="") for text in given)]))
