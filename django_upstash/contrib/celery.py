"""Celery's broker and result store on the server that a connection of ``UPSTASH`` names. Imports nothing of Celery."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from django.core.exceptions import ImproperlyConfigured

from django_upstash.credentials import Secret, hide_entry
from django_upstash.settings.conf import DEFAULT_ALIAS, ConnectionSettings, connection_settings, make_settings

__all__ = ["celery_broker_url"]

_DEFAULT_PORT = 6379


def celery_broker_url(alias: str = DEFAULT_ALIAS, upstash: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """
    Return the URL for ``CELERY_BROKER_URL`` and ``CELERY_RESULT_BACKEND``. It holds the password; its ``repr`` not.

    Inside ``settings.py``, where the settings cannot be read yet, ``upstash`` is the dict that ``UPSTASH`` is set to.
    Raises ``ImproperlyConfigured`` for a connection that is not native, for Celery speaks nothing else.
    """
    if upstash is None:
        return _url(connection_settings(alias))
    if alias not in upstash:
        raise ImproperlyConfigured(f"UPSTASH has no connection {alias!r} for Celery; add one with a rediss:// address.")
    hide_entry(upstash[alias])
    return _url(make_settings(alias, upstash[alias]))


def _url(settings: ConnectionSettings) -> str:
    if settings.route != "native":
        raise ImproperlyConfigured(
            f"Celery speaks the native protocol alone, and UPSTASH[{settings.alias!r}] is {settings.scheme}://: "
            f"give Celery a connection with a rediss:// address."
        )
    credentials = _credentials(settings)
    if settings.scheme == "unix":
        database = urlencode({"virtual_host": settings.database})
        return Secret(f"redis+socket://{credentials}{settings.parts.path}?{database}")
    host = settings.parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    address = f"{credentials}{host}:{settings.parts.port or _DEFAULT_PORT}/{settings.database}"
    return Secret(f"{settings.scheme}://{address}{_tls(settings)}")


def _credentials(settings: ConnectionSettings) -> str:
    user, password = settings.user_and_password
    if password is None:
        return ""
    return f"{quote(user or '', safe='')}:{quote(password, safe='')}@"


def _tls(settings: ConnectionSettings) -> str:
    if settings.scheme != "rediss":
        return ""
    # Celery refuses a rediss:// result store that does not say it, and the long spelling is known to every version.
    arguments = {"ssl_cert_reqs": "CERT_REQUIRED" if settings.verify_tls else "CERT_NONE"}
    if settings.ca_certs:
        arguments["ssl_ca_certs"] = settings.ca_certs
    return f"?{urlencode(arguments)}"
