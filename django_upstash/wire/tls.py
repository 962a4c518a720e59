"""One verified TLS context for every route: building one reads all the system's authorities, so it is kept."""

from __future__ import annotations

import ssl
from functools import cache
from typing import TYPE_CHECKING

from django_upstash.exceptions import ConnectionError
from django_upstash.wire.sockets import reason

if TYPE_CHECKING:
    from django_upstash.settings.conf import ConnectionSettings


def tls_context(settings: ConnectionSettings) -> ssl.SSLContext:
    """Return the context for these settings: the system's authorities, and those in ``CA_CERTS``."""
    return _context(settings.ca_certs, settings.verify_tls)


@cache
def _context(ca_certs: str | None, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_certs:
        try:
            context.load_verify_locations(cafile=ca_certs)
        except OSError as error:
            raise ConnectionError(f"CA_CERTS names a file without readable certificates: {reason(error)}.") from error
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
