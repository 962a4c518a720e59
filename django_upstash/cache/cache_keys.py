"""One cache's part of the database: how its keys are called there, and what its values look like."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from types import ModuleType
from typing import TYPE_CHECKING, Any

from django.core.cache.backends.base import MEMCACHE_MAX_KEY_LENGTH, BaseCache, default_key_func
from django.core.exceptions import ImproperlyConfigured

from django_upstash import callbacks
from django_upstash.cache import expiry
from django_upstash.cache.after_import import after_import
from django_upstash.cache.size_limits import shortened
from django_upstash.operations.keys import check_encodable, glob_escape
from django_upstash.wire.meter import Meter

if TYPE_CHECKING:
    from django_upstash.cache.size_limits import SizeGuard
    from django_upstash.codecs import ValueCodec
    from django_upstash.operations.capabilities import Capabilities

# Metadata keys have this where a value has its version; no version number prints so.
_ASIDE = "-0"
_STOCK = ("make_key", "validate_key", "make_and_validate_key")


class CacheKey(str):
    """A key as stored in the database; django-redis' class of this name takes its place once that is imported."""

    def original_key(self) -> str:
        """Return the key without prefix and version."""
        return self.rsplit(":", 1)[1]


class StoredKey(CacheKey):
    """A key as stored in the database, which remembers the key it was made from."""

    key: Any
    context: bytes

    @classmethod
    def of(cls, stored: str, key: Any, context: bytes) -> StoredKey:
        made = cls(stored)
        made.key, made.context = key, context
        return made

    def original_key(self) -> str:
        return str(self.key)


@dataclass(frozen=True, slots=True)
class KeyFunction:
    """A function that makes keys, as Django's, with the prefix of the environment before what ``function`` returns."""

    environment: str
    function: Callable[..., str]

    def __call__(self, key: Any, key_prefix: str, version: Any) -> str:
        return self.environment + self.function(key, key_prefix, version)


class Keyspace:
    """
    What operations of one cache need to know: names for its keys, a codec for its values, the server's limits.

    Holds no connection and does no I/O. Rebuilt when an attribute of its cache changes.
    """

    __slots__ = (
        "_backend",
        "_before_version",
        "_beginning",
        "_environment",
        "_guard",
        "_is_plain",
        "_longest_key",
        "_longest_plain",
        "_reverse",
        "capabilities",
        "default_options",
        "default_timeout",
        "dumps",
        "loads",
        "looked_up",
        "max_request_size",
        "prefix",
        "tags",
        "version",
    )

    def __init__(
        self,
        backend: BaseCache,
        codec: ValueCodec,
        capabilities: Capabilities,
        max_request_size: int,
        reverse: Callable[[str], str] | None = None,
        tags: bool = False,
        guard: SizeGuard | None = None,
        longest_key: int | None = None,
        meter: Meter | None = None,
    ) -> None:
        self._backend = backend
        self._reverse = reverse
        self._guard = guard
        self._longest_key = longest_key
        self.default_timeout = backend.default_timeout
        self.default_options = expiry.options(backend.default_timeout)
        self.dumps, self.loads = codec
        self.capabilities = capabilities
        self.looked_up = (meter or Meter()).looked_up
        self.max_request_size = max_request_size
        self.tags = tags
        self._prepare_names(backend)

    def _prepare_names(self, backend: BaseCache) -> None:
        """Learn how keys are named, and what most names begin with."""
        self._longest_plain = min(MEMCACHE_MAX_KEY_LENGTH, self._longest_key or MEMCACHE_MAX_KEY_LENGTH)
        function: Any = backend.key_func
        self._environment, function = (
            (function.environment, function.function) if isinstance(function, KeyFunction) else ("", function)
        )
        self._is_plain = function is default_key_func and _is_stock(type(backend))
        self.prefix: str = backend.key_prefix
        self._before_version = f"{self._environment}{self.prefix}:"
        self.version: Any = backend.version
        self._beginning = f"{self._before_version}{self.version}:"

    def name(self, key: Any, version: Any = None, prefix: str | None = None) -> tuple[str, bytes]:
        """
        Return the key as stored in the database, and what a signature binds its value to.

        Warns as Django does of keys that memcached would refuse. Raises ``DataError`` for those UTF-8 cannot carry.
        """
        if self._is_plain and type(key) is str and prefix is None:
            stored = self._beginning + key if version is None else f"{self._before_version}{version}:{key}"
            # Nothing Django warns about and nothing UTF-8 cannot carry, in a third of the time of Django's own look.
            if len(stored) <= self._longest_plain and stored.isprintable() and " " not in stored:
                return stored, key.encode()
        return self._name(key, version, prefix)

    def admits(self, encoded: bytes, stored: str) -> bool:
        """Tell whether a value of this size is to be stored; raise ``OversizedValueError`` where it is refused."""
        return self._guard is None or self._guard.admits(encoded, stored)

    def stored_key(self, key: Any, version: Any = None, prefix: str | None = None) -> CacheKey:
        """Return the key as stored in the database, which every method takes in place of the key."""
        if isinstance(key, CacheKey):
            return key
        stored, context = self.name(key, version, prefix)
        return StoredKey.of(stored, key, context)

    def aside(self, kind: str, name: str) -> str:
        """Return what a record beside the values is called: it is no key, but ``clear`` removes it."""
        stored: str = self._backend.make_key(f"~{kind}:{name}", version=_ASIDE)  # type: ignore[arg-type]
        return stored

    def original(self, key: Any) -> Any:
        """Return the key that a ``CacheKey`` was made from, and any other key as it is."""
        if isinstance(key, StoredKey):
            return key.key
        return self.reverse(str(key)) if isinstance(key, CacheKey) else key

    def reverse(self, stored: str) -> str:
        """Return the key that is called ``stored`` in the database."""
        if self._is_plain and self._reverse is None and stored.startswith(self._before_version):
            return stored[len(self._before_version) :].split(":", 1)[1]
        stored = stored.removeprefix(self._environment)
        if self._reverse is not None:
            return callbacks.key_text("REVERSE_KEY_FUNCTION", self._reverse(stored))
        return stored.split(":", 2)[2]

    def pattern(self, search: str, version: Any = None, prefix: str | None = None) -> str:
        """Return the pattern that matches, of the keys of one version, those that match ``search``."""
        if isinstance(search, CacheKey):
            return str(search)
        prefix = glob_escape(self.prefix if prefix is None else prefix)
        version = glob_escape(str(self.version if version is None else version))
        pattern: str = self._backend.key_func(search, prefix, version)
        check_encodable(pattern)
        return pattern

    def everything(self) -> tuple[str, Callable[[str], bool]]:
        """
        Return the pattern for all keys of this cache, of every version, and a test of what matches it.

        Raises ``ImproperlyConfigured`` where keys have no beginning in common that tells them from everybody else's.
        """
        # Nine, so that functions that hash do not agree by chance.
        samples = [self._backend.make_key(f"{number}{number}", version=number) for number in range(1, 10)]
        beginning = _common_beginning(samples)
        if len(beginning) <= len(self._environment):
            raise ImproperlyConfigured(
                "clear() cannot tell this cache's keys from others: let what KEY_FUNCTION returns begin with a text "
                "that only this cache's keys begin with, such as its KEY_PREFIX."
            )
        return f"{glob_escape(beginning)}*", self._belongs() if self._is_plain else lambda stored: True

    def _belongs(self) -> Callable[[str], bool]:
        # "shop:*" also matches "shop:eu:1:key", which belongs to the prefix "shop:eu": what follows is a version.
        version = re.escape(str(self.version))
        return re.compile(rf"{re.escape(self._before_version)}(-?\d+|{version}):", re.DOTALL).match  # type: ignore[return-value]

    def _name(self, key: Any, version: Any, prefix: str | None) -> tuple[str, bytes]:
        backend = self._backend
        if self._longest_key is not None and not isinstance(key, CacheKey):
            key = shortened(str(key), self._longest_key)
        if isinstance(key, CacheKey):
            stored = str(key)
            backend.validate_key(stored)
        elif prefix is not None:
            stored = backend.key_func(key, prefix, self.version if version is None else version)
        else:
            stored = backend.make_and_validate_key(key, version)
        check_encodable(stored)
        return stored, self._context(key, stored)

    def _context(self, key: Any, stored: str) -> bytes:
        """Return what stays of a key when its version changes, the same for all keys that name the same value."""
        if isinstance(key, StoredKey):
            return key.context
        if isinstance(key, CacheKey):
            try:
                key = self.reverse(stored)
            except (LookupError, ValueError):
                return stored.encode()
        text = str(key) if self._is_plain else str(self._backend.make_key(key, version=1))
        check_encodable(text)
        return text.encode()


def _is_stock(backend: type[BaseCache]) -> bool:
    return all(getattr(backend, name) is getattr(BaseCache, name) for name in _STOCK)


def _common_beginning(texts: list[str]) -> str:
    columns = zip(*texts, strict=False)
    return "".join(column[0] for column in takewhile(lambda column: len(set(column)) == 1, columns))


def _derive(module: ModuleType) -> None:
    global CacheKey
    CacheKey = module.CacheKey  # type: ignore[misc]
    StoredKey.__bases__ = (CacheKey,)


after_import("django_redis.util", _derive)
