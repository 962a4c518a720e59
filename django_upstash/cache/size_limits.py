"""How large keys and values may be, and from which size on they are compressed."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import blake2b
from typing import TYPE_CHECKING

from django_upstash.exceptions import OversizedValueError
from django_upstash.log import get_logger
from django_upstash.operations.keys import check_encodable

if TYPE_CHECKING:
    from django_upstash.cache.settings import OnOversize
    from django_upstash.codecs.values import Compressor

_DIGEST_BYTES = 24  # 32 characters of base64
logger = get_logger("django_upstash.cache")


class SizeGuard:
    """What happens to values whose stored form is larger than ``most`` bytes."""

    def __init__(self, most: int, on_oversize: OnOversize) -> None:
        self._most = most
        self._on_oversize = on_oversize

    def admits(self, encoded: bytes, stored: str) -> bool:
        """
        Tell whether the value is to be stored under this key, and say so in the log where it is too large.

        Raises ``OversizedValueError`` where that is what shall happen.
        """
        if len(encoded) <= self._most:
            return True
        sizes = f"takes {len(encoded)} bytes, and MAX_VALUE_SIZE is {self._most}"
        if self._on_oversize == "refuse":
            raise OversizedValueError(f"The value of {stored!r} {sizes}: store less, or raise MAX_VALUE_SIZE.")
        is_stored = self._on_oversize == "warn"
        logger.warning("The value of %r %s; it is%s stored.", stored, sizes, "" if is_stored else " not")
        return is_stored


class CompressorFrom:
    """A compressor that leaves what is smaller than so many bytes as it is."""

    def __init__(self, least: int, compressor: Compressor) -> None:
        self._least = least
        self._compressor = compressor
        self.decompress = compressor.decompress

    def compress(self, value: bytes) -> bytes:
        return self._compressor.compress(value) if len(value) >= self._least else value


def shortened(key: str, longest: int) -> str:
    """Return a key that is longer than ``longest`` characters as its beginning and a digest of all of it."""
    if len(key) <= longest:
        return key
    check_encodable(key)
    digest = urlsafe_b64encode(blake2b(key.encode(), digest_size=_DIGEST_BYTES).digest()).decode()
    return f"{key[: longest - len(digest) - 1]}~{digest}"
