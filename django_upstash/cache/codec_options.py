"""How a cache's ``OPTIONS`` say that its values are stored. Paths are imported when the first value is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from django_upstash.cache.size_limits import CompressorFrom
from django_upstash.codecs import ValueCodec, signed_codec, unsigned_codec
from django_upstash.codecs.checked import CheckedCompressor, CheckedSerializer

_PICKLE = "django_redis.serializers.pickle.PickleSerializer"
_OWN_PICKLE = "django_upstash.codecs.pickles.PickleSerializer"  # the same, without importing redis-py
_IDENTITY = "django_redis.compressors.identity.IdentityCompressor"
# What these read is data, no matter who wrote it. Any other serializer may make code of it.
_KNOWN = ("django_redis.", "django_upstash.")
_DATA_ONLY = frozenset({"django_redis.serializers.json", "django_redis.serializers.msgpack"})


def value_codec(options: Mapping[str, Any], secrets: Sequence[str | bytes], prefix: str) -> ValueCodec:
    """
    Return the codec that ``SERIALIZER``, ``COMPRESSOR`` and ``SIGN`` ask for.

    Raises ``ImproperlyConfigured`` for a path that leads nowhere, or to something else.
    """
    serializer = _make(options, "SERIALIZER", _PICKLE, ("dumps", "loads"))
    is_signed = flag(options, "SIGN", True) and not _reads_data_only(serializer)
    serializer = serializer if _is_known(serializer) else CheckedSerializer(serializer)
    compressor = None
    if options.get("COMPRESSOR", _IDENTITY) != _IDENTITY:
        compressor = _make(options, "COMPRESSOR", _IDENTITY, ("compress", "decompress"))
        compressor = compressor if _is_known(compressor) else CheckedCompressor(compressor)
        if options.get("COMPRESS_FROM") is not None:
            compressor = CompressorFrom(options["COMPRESS_FROM"], compressor)
    if is_signed:
        return signed_codec(serializer, compressor, secrets, prefix)
    return unsigned_codec(serializer, compressor)


def flag(options: Mapping[str, Any], name: str, default: bool) -> bool:
    """Return the value of a switch; raise ``ImproperlyConfigured`` if it is not a switch."""
    found = options.get(name, default)
    if not isinstance(found, bool):
        raise ImproperlyConfigured(f'OPTIONS["{name}"] must be True or False, not {type(found).__name__}.')
    return found


def _make(options: Mapping[str, Any], name: str, default: str, methods: tuple[str, str]) -> Any:
    path = options.get(name, default)
    path = _OWN_PICKLE if path == _PICKLE else path
    try:
        made = import_string(path)(options=dict(options)) if isinstance(path, str) else path(options=dict(options))
    except (ImportError, TypeError) as error:
        raise ImproperlyConfigured(
            f'OPTIONS["{name}"] must be the dotted path of a class such as "{default}", and importable: {error}.'
        ) from error
    if not all(hasattr(made, method) for method in methods):
        raise ImproperlyConfigured(
            f'OPTIONS["{name}"] names {path!r}, which has no methods {" and ".join(methods)}; name another class.'
        )
    return made


def _is_known(made: object) -> bool:
    return type(made).__module__.startswith(_KNOWN)


def _reads_data_only(serializer: object) -> bool:
    return any(kind.__module__ in _DATA_ONLY for kind in type(serializer).__mro__)
