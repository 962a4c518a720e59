"""Where HTTP requests go: host, port, TLS, and the proxy in between."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from django_upstash.credentials import Secret, SecretBytes, secret, split_credentials
from django_upstash.exceptions import (
    ConnectionError,
)
from django_upstash.settings.conf import is_loopback
from django_upstash.settings.hosts import normal_url, readable_name

if TYPE_CHECKING:
    from django_upstash.settings.conf import ConnectionSettings


_UNREADABLE_PROXY = (
    "The address of the proxy in the environment cannot be read; percent-encode what is special in its password "
    "(%40 for @, %2F for /), or put the server's host into NO_PROXY."
)


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy; ``basic`` is its user and password as a header carries them."""

    host: str
    port: int
    basic: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, url: str) -> Proxy:
        """Return the proxy at a URL; raise ``ConnectionError`` for one that cannot be asked for a tunnel."""
        if not url.lower().startswith("http://"):
            raise ConnectionError("The environment names a proxy of another kind; only http:// proxies are supported.")
        where, user, password = map(secret, split_credentials(url))
        host, port = _host_and_port(where)
        if not host:
            raise ConnectionError(_UNREADABLE_PROXY)
        if user is None and password is None:
            return cls(host, port)
        basic = base64.b64encode(f"{user or ''}:{password or ''}".encode()).decode()
        return cls(host, port, Secret(basic))


@dataclass(frozen=True)
class Endpoint:
    """Where requests go: the server, and the proxy on the way to it."""

    host: str
    port: int
    is_tls: bool
    proxy: Proxy | None

    @classmethod
    def of(cls, settings: ConnectionSettings) -> Endpoint:
        """Return the endpoint of a REST URL, with the proxy the environment names for it (``HTTPS_PROXY``, …)."""
        parts = settings.parts
        host, is_tls = parts.hostname or "", settings.scheme == "https"
        return cls(host, parts.port or (443 if is_tls else 80), is_tls, _proxy(host, settings.scheme))

    @property
    def dialled(self) -> tuple[str, int]:
        """Return the host and port to open a socket to."""
        if self.proxy is None:
            return self.host, self.port
        return self.proxy.host, self.proxy.port

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def tunnel_request(self) -> bytes:
        """Return the request that asks the proxy for a tunnel to the server (RFC 9110, section 9.3.6)."""
        lines = [f"CONNECT {self.authority} HTTP/1.1", f"Host: {self.authority}", *self.proxy_authorization()]
        return SecretBytes("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def proxy_authorization(self) -> list[str]:
        """Return the header with the proxy's user and password, where it has any."""
        if self.proxy is None or self.proxy.basic is None:
            return []
        return [Secret(f"Proxy-Authorization: Basic {self.proxy.basic}")]


def _is_reached_directly(host: str) -> bool:
    """Tell whether no proxy is asked for a host; ``NO_PROXY`` may name it in either form."""
    return is_loopback(host) or bool(proxy_bypass(host) or proxy_bypass(readable_name(host)))


def _host_and_port(url: str) -> tuple[str, int]:
    """Return the host and port of a URL without credentials; the host is empty where it cannot be read."""
    try:
        parts = urlsplit(url)
        return ("" if "@" in url else parts.hostname or ""), parts.port or 80
    except ValueError:
        return "", 0


def _proxy(host: str, scheme: str) -> Proxy | None:
    """Return the proxy that the environment names for a scheme; raise ``ConnectionError`` for one of another kind."""
    named = None if _is_reached_directly(host) else Secret(getproxies().get(scheme, ""))
    return Proxy.of(Secret(normal_url(named if "//" in named else f"http://{named}"))) if named else None
