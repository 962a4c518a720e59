"""
System checks of ``UPSTASH`` and of what all features share. They open no connection and import no client library.

docs/settings.md lists every id, what it means and what to do.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Warning

from django_upstash.features import incomplete, needs_sentence
from django_upstash.settings import conf, hosts, key_prefix, preview_deployments, redis_arguments
from django_upstash.settings.conf import ConnectionSettings
from django_upstash.settings.rules import Mistake

TAG = "django_upstash"

AppConfigs = Sequence[AppConfig] | None


def check_connections(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """Check every entry of ``UPSTASH``."""
    found = list(map(error, conf.setting_mistakes()))
    if found:
        return found
    for alias, given in conf.entries().items():
        wrong = list(conf.mistakes(alias, given))
        found += map(error, wrong)
        if not wrong:
            name = f'UPSTASH[{alias!r}]["URL"]'
            found += map(warning, query_without_effect(given["URL"], name))
    return found


def check_key_prefix(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """Check ``UPSTASH_KEY_PREFIX``, which a preview needs where it shares the database with other deployments."""
    found = list(map(error, key_prefix.prefix_mistakes()))
    has_prefix = bool(conf.setting(key_prefix.PREFIX_SETTING, ""))
    is_shared = preview_deployments.is_preview(os.environ) and not has_prefix and _has_servers()
    if is_shared and not found:
        text = "This deployment is a preview, and UPSTASH_KEY_PREFIX is empty: what it stores is not kept apart."
        hint = "Set UPSTASH_KEY_PREFIX = key_prefix_from_env(), or silence this where previews have their own database."
        found.append(warning(Mistake("W010", text, hint)))
    return found


def check_features(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """Check that everything is there that the features of this package need; a part of it may have been removed."""
    hint = "Install the whole package, or take that feature out of NAMES in django_upstash/features.py, too."
    found = [Mistake("E061", needs_sentence(feature, missing), hint) for feature, missing in incomplete()]
    return list(map(error, found))


def check_deployment(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """Check what is a risk in production alone: run by ``check --deploy``."""
    if any(conf.setting_mistakes()):
        return []
    found: list[CheckMessage] = []
    for alias, given in conf.entries().items():
        if not any(conf.mistakes(alias, given)):
            found += map(warning, exposures(conf.make_settings(alias, given), f"UPSTASH[{alias!r}]"))
    return found


def error(mistake: Mistake) -> CheckMessage:
    """Return the message of a check that keeps Django from starting."""
    return Error(mistake.text, hint=mistake.hint, id=f"{TAG}.{mistake.id}")


def warning(mistake: Mistake) -> CheckMessage:
    """Return the message of a check that warns."""
    return Warning(mistake.text, hint=mistake.hint, id=f"{TAG}.{mistake.id}")


def query_without_effect(url: str, name: str) -> Iterator[Mistake]:
    """Yield the arguments in the query of a URL, which messages call ``name``, that change nothing."""
    for argument in redis_arguments.without_effect(redis_arguments.query(url.partition("?")[2])):
        # What is no name may be a piece of a password.
        shown = argument if re.fullmatch(r"[a-z_]{1,40}", argument) else "an argument"
        hint = "Leave it out; the table of settings lists what can be set."
        yield Mistake("W001", f"{name} has {shown} in its query, which has no effect.", hint)


def _has_servers() -> bool:
    """Tell whether a connection may lead to a database that others use as well, unlike an embedded one."""
    if any(conf.setting_mistakes()):
        return False
    given = [str(entry.get("URL", "")) for entry in conf.entries().values() if isinstance(entry, Mapping)]
    return any(not url.startswith("embedded:") for url in given)


def exposures(settings: ConnectionSettings, where: str) -> Iterator[Mistake]:
    """Yield what is a risk in production in the settings of a connection, which messages call ``where``."""
    if not settings.verify_tls and settings.scheme in ("rediss", "https"):
        hint = "Whoever sits in between can read and change everything. Put a private authority into CA_CERTS instead."
        yield Mistake("W006", f"{where} does not verify the server's certificate (VERIFY_TLS is False).", hint)
    if settings.scheme in ("redis", "http") and not hosts.is_private(settings.parts.hostname or ""):
        hint = "Password and data travel in the clear: write rediss:// or https://."
        yield Mistake("W007", f"{where} reaches a public host without TLS (ALLOW_PLAINTEXT is True).", hint)
    if settings.route == "embedded":
        hint = "It keeps its data on this machine, for the lifetime of this project's processes: name a server."
        yield Mistake("W008", f"{where} uses the embedded server, which is for development.", hint)
