"""
What can be wrong with one entry of ``UPSTASH``. Pure: reads no settings, opens no connection.

Every finding is a ``Mistake``: an id, a sentence saying what is wrong, and one saying what to do. None shows a secret,
and none shows a piece of an address that could not be read, for a password may be in the place of a port.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Literal
from urllib.parse import SplitResult, unquote, urlsplit

from django_upstash.credentials import Secret, type_name
from django_upstash.settings import hosts, redis_arguments
from django_upstash.settings.rules import Mistake, Rule, flag, number, suggestion, whole

RouteName = Literal["native", "rest", "embedded"]
ROUTE_BY_SCHEME: dict[str, RouteName] = {
    "redis": "native",
    "rediss": "native",
    "unix": "native",
    "https": "rest",
    "http": "rest",
    "embedded": "embedded",
}
LONGEST_TIMEOUT = 86_400.0
# Where a text or a flag is of another type, what is said about the address would mislead.
_HIDING = frozenset({"E004", "E023", "E024"})
_PORT_OF_HTTPS = 443
_PORT_OF_REDIS = 6379
_QUOTES = "\"'`\u2018\u2019\u201c\u201d"
_PASTE = "Paste the bare address, as the Upstash console shows it after the `=` of a variable or the `-u` of redis-cli."
_ENCODE = "Percent-encode what is special in the user or password (%40 for @, %2F for /, %23 for #), or give PASSWORD."

Namer = Callable[[str], str]


_SECONDS = "a positive number of seconds, at most a day"
_HOW_SECONDS = "Write 5.0 for five seconds."


def _is_file(value: Any) -> bool:
    return isinstance(value, str | os.PathLike) and os.path.isfile(value)


def _text() -> Rule:
    return Rule("E024", lambda value: value is None or isinstance(value, str), "text or None", "Write it in quotes.")


def _time(words: str = _SECONDS) -> Rule:
    return number("E021", 0, LONGEST_TIMEOUT, words, _HOW_SECONDS, above=True)


def _limit() -> Rule:
    rule = _time()
    words = f"{_SECONDS}, or None for that of TIMEOUT"
    return replace(rule.or_none(), words=words)


def _whole(least: int, unit: str = "") -> Rule:
    return whole("E022", least, words=f"a whole number{unit}, {least} or more")


RULES: dict[str, Rule] = {
    "URL": Rule("E004", lambda value: isinstance(value, str), "text", "Give a rediss:// or an https:// address."),
    "TOKEN": _text(),
    "USERNAME": _text(),
    "PASSWORD": _text(),
    "TIMEOUT": _time(),
    "CONNECT_TIMEOUT": _limit(),
    "POOL_TIMEOUT": _limit(),
    "MAX_CONNECTIONS": _whole(1),
    "RETRIES": _whole(0),
    "IDLE_CHECK": _time(),
    "MAX_REQUEST_SIZE": _whole(1, " of bytes"),
    "READ_YOUR_WRITES": flag("E023"),
    "TELEMETRY": flag("E023"),
    "CA_CERTS": Rule(
        "E025",
        lambda value: value is None or _is_file(value),
        "the path of a file of PEM certificates that exists",
        "Leave it out where the system's authorities suffice, as they do for Upstash.",
    ),
    "VERIFY_TLS": flag("E023"),
    "ALLOW_PLAINTEXT": flag("E023"),
    "ALLOW_EMBEDDED": flag("E023"),
    "VERIFY": flag("E023"),
    "SOURCE": _text(),
}


def entry_mistakes(given: Mapping[Any, Any], name: Namer, where: str) -> Iterator[Mistake]:
    """Yield what is wrong with one entry; ``name`` says how the reader knows a key, ``where`` the whole entry."""
    for key in given:
        if key not in RULES:
            yield Mistake("E003", f"{where} has an unknown key {key!r}.", suggestion(key, RULES, _OTHER_NAMES))
    url = given.get("URL")
    if url is None or (isinstance(url, str) and not url.strip()):
        yield Mistake("E004", f"{name('URL')} is missing.", "Give a rediss:// or an https:// address.")
        return
    wrong = [mistake for key, value in given.items() if key in RULES for mistake in rule_mistakes(key, value, name)]
    yield from wrong
    if _HIDING.isdisjoint(mistake.id for mistake in wrong):
        yield from _Address(given, name).mistakes()


def rule_mistakes(key: str, value: object, name: Namer) -> Iterator[Mistake]:
    """Yield what is wrong with a value by itself."""
    rule = RULES[key]
    if not rule.accepts(value):
        # A password may be given as a number.
        is_shown = value is None or (rule.id in ("E021", "E022") and isinstance(value, int | float))
        shown = repr(value) if is_shown else type_name(value)
        yield Mistake(rule.id, f"{name(key)} must be {rule.words}; it is {shown}.", rule.hint)


_OTHER_NAMES = {
    "LOCATION": "URL",
    "HOST": "URL",
    "PORT": "URL",
    "DB": "URL",
    "SOCKET_TIMEOUT": "TIMEOUT",
    "SOCKET_CONNECT_TIMEOUT": "CONNECT_TIMEOUT",
    "SSL_CA_CERTS": "CA_CERTS",
    "SSL_CERT_REQS": "VERIFY_TLS",
}


def _stripped(given: Mapping[Any, Any], key: str) -> str:
    value = given.get(key)
    return value.strip() if isinstance(value, str) else ""


class _Address:
    """The URL of an entry with its credentials, whose mistakes are found in the order in which they hide each other."""

    def __init__(self, given: Mapping[Any, Any], name: Namer) -> None:
        self.given = given
        self.name = name
        self.url = Secret(hosts.normal_url(_stripped(given, "URL")))
        self.allows_plaintext = given.get("ALLOW_PLAINTEXT") is True

    def mistakes(self) -> Iterator[Mistake]:
        mistake = self._unreadable()
        if mistake is not None:
            yield mistake
            return
        self.parts = urlsplit(self.url)
        route = ROUTE_BY_SCHEME[self.parts.scheme.lower()]
        if route == "native":
            yield from self._native()
        elif route == "rest":
            yield from self._rest()
        else:
            yield from self._misplaced_token()

    def _mistake(self, id: str, text: str, hint: str, key: str = "URL") -> Mistake:
        return Mistake(id, f"{self.name(key)} {text}", hint)

    def _unreadable(self) -> Mistake | None:
        return self._pasted_wrong() or self._scheme_unknown() or self._structure_broken()

    def _pasted_wrong(self) -> Mistake | None:
        if self.url[0] in _QUOTES or self.url[-1] in _QUOTES:
            return self._mistake("E005", "is wrapped in quotes.", f"Leave the quotes out. {_PASTE}")
        if re.search(r"[\s\x00-\x1f\x7f]", self.url):
            return self._mistake("E005", "has a space or a line break in it.", _PASTE)
        return None

    def _scheme_unknown(self) -> Mistake | None:
        scheme, separator, _ = self.url.partition("://")
        if separator and scheme.lower() in ROUTE_BY_SCHEME:
            return None
        match = get_close_matches(scheme.lower(), ROUTE_BY_SCHEME, n=1)
        meant = f"Did you mean {match[0]}://? " if match else ""
        known = ", ".join(f"{known}://" for known in ROUTE_BY_SCHEME)
        return self._mistake("E006", "does not begin with a scheme this package knows.", f"{meant}Known are {known}.")

    def _structure_broken(self) -> Mistake | None:
        try:
            parts = urlsplit(self.url)
        except ValueError:
            return self._mistake("E007", "cannot be read as an address.", _ENCODE)
        rest = f"{parts.path}?{parts.query}#{parts.fragment}"
        if "@" in rest or parts.fragment or parts.netloc.count("@") > 1:
            return self._mistake("E007", "has a character that ends the address too early.", _ENCODE)
        try:
            port = parts.port
        except ValueError:
            port = 0
        if port == 0:
            return self._mistake("E008", "has a port that is not a number from 1 to 65535.", _ENCODE)
        return self._host_missing(parts)

    def _host_missing(self, parts: SplitResult) -> Mistake | None:
        scheme = parts.scheme.lower()
        if scheme == "embedded":
            if parts.netloc:
                hint = "Write embedded:// for the project's own server, or embedded:///path with three slashes."
                return self._mistake("E009", "names a host, and an embedded server has none.", hint)
            return None
        if scheme == "unix":
            if parts.hostname or not parts.path.startswith("/"):
                hint = "Write unix:///run/redis.sock, with three slashes."
                return self._mistake("E009", "names no socket by its whole path.", hint)
            return None
        if not parts.hostname:
            return self._mistake("E009", "has no host.", f"Write {scheme}://HOST. {_ENCODE}")
        if not (parts.hostname.isascii() and hosts.is_host(parts.hostname)):
            return self._mistake("E009", "has a host that is neither a name nor an address.", _PASTE)
        return None

    def _native(self) -> Iterator[Mistake]:
        yield from self._native_host()
        yield from self._database()
        yield from self._query()
        yield from self._native_credentials()

    def _native_host(self) -> Iterator[Mistake]:
        if not self.parts.hostname:
            return
        encrypted = self.parts.scheme.lower() == "rediss"
        if hosts.is_upstash(self.parts.hostname):
            if not (encrypted or self.allows_plaintext or hosts.is_private(self.parts.hostname)):
                hint = "Write rediss://. On Fly.io the host is fly-NAME.upstash.io, with redis://."
                yield self._mistake("E010", "must use TLS: Upstash accepts only TLS connections.", hint)
            if self.parts.port == _PORT_OF_HTTPS:
                hint = f"Write {_PORT_OF_REDIS}, or for REST an https:// address with its TOKEN."
                yield self._mistake("E012", f"names port {_PORT_OF_HTTPS}, where Upstash speaks REST, not Redis.", hint)
        elif not encrypted and not self.allows_plaintext and not hosts.is_private(self.parts.hostname):
            hint = "Write rediss://, or set ALLOW_PLAINTEXT to True where the way there is protected otherwise."
            yield self._mistake("E011", "sends password and data to a public host without TLS (redis://).", hint)

    def _database(self) -> Iterator[Mistake]:
        named = redis_arguments.database(self.parts)
        if named is None:
            hint = "Write the number of the database after the port: rediss://HOST:6379/0."
            yield self._mistake("E013", "has a path that is not the number of a database.", hint)
        elif named and hosts.is_upstash(self.parts.hostname):
            hint = "Leave the number out, and keep projects apart with KEY_PREFIX."
            yield self._mistake("E013", "names another database than 0, and Upstash has no other.", hint)

    def _query(self) -> Iterator[Mistake]:
        arguments = redis_arguments.query(self.parts.query)
        for argument in redis_arguments.weakening_tls(arguments):
            yield self._mistake("E014", f"switches TLS verification off ({argument}).", redis_arguments.WHY_VERIFY)
        if not {"username", "password"}.isdisjoint(arguments):
            hint = "Write them before the host, scheme://USER:PASSWORD@HOST, or give USERNAME and PASSWORD."
            yield self._mistake("E015", "has credentials in its query, where logs show them.", hint)
        for key, value in redis_arguments.entry(arguments).items():
            if key not in self.given:
                yield from rule_mistakes(key, value, lambda key: f"{key} in the query of {self.name('URL')}")

    def _misplaced_token(self) -> Iterator[Mistake]:
        if _stripped(self.given, "TOKEN"):
            hint = "Leave TOKEN out and write the password into the URL, or for REST give the https:// address."
            yield self._mistake("E019", "goes with an https:// address, and the URL is a native one.", hint, "TOKEN")

    def _native_credentials(self) -> Iterator[Mistake]:
        yield from self._misplaced_token()
        for key, in_url in (("USERNAME", self.parts.username), ("PASSWORD", self.parts.password)):
            if in_url and _stripped(self.given, key) not in ("", unquote(in_url)):
                yield self._mistake("E026", "differs from the one in the URL.", "Keep one of the two.", key)

    def _rest(self) -> Iterator[Mistake]:
        yield from self._rest_host()
        if self.parts.path.strip("/") or self.parts.query or "@" in self.parts.netloc:
            hint = "Write https://HOST alone, and give the token as TOKEN."
            yield self._mistake("E016", "has more than a host: a path, a query or a user.", hint)
        for key in ("USERNAME", "PASSWORD"):
            if _stripped(self.given, key):
                hint = "Give the REST token as TOKEN, or for the native protocol a rediss:// address."
                yield self._mistake("E020", "goes with a rediss:// address, and the URL is a REST one.", hint, key)
        yield from self._token()

    def _rest_host(self) -> Iterator[Mistake]:
        host = self.parts.hostname or ""
        encrypted = self.parts.scheme.lower() == "https"
        if hosts.is_upstash(host):
            if not encrypted:
                yield self._mistake("E010", "must use TLS: Upstash accepts only TLS connections.", "Write https://.")
            if self.parts.port == _PORT_OF_REDIS:
                hint = "Leave the port out, or for the native protocol write rediss:// with the password."
                yield self._mistake("E012", f"names port {_PORT_OF_REDIS}, where Upstash speaks Redis, not REST.", hint)
        elif not encrypted and not self.allows_plaintext and not hosts.is_loopback(host):
            hint = "Write https://, or set ALLOW_PLAINTEXT to True where the way there is protected otherwise."
            yield self._mistake("E011", "sends token and data to another machine without TLS (http://).", hint)

    def _token(self) -> Iterator[Mistake]:
        token = _stripped(self.given, "TOKEN")
        if not token:
            hint = "The Upstash console shows it beside the address, as UPSTASH_REDIS_REST_TOKEN."
            yield self._mistake("E017", "is missing, and a REST address needs it.", hint, "TOKEN")
        elif "://" in token:
            yield self._mistake("E018", "looks like an address.", "URL and TOKEN may have changed places.", "TOKEN")
        elif not re.fullmatch(r"[!-~]+", token) or token[0] in _QUOTES or token[-1] in _QUOTES:
            hint = "Paste the bare token: no quotes, no spaces, no `Bearer`, no line break."
            yield self._mistake("E018", "has a character that no token has.", hint, "TOKEN")
