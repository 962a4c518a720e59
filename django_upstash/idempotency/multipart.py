"""The digest of a multipart body's parts, whatever their boundary is."""

from __future__ import annotations

from hashlib import sha256


class PartsDigest:
    """
    Digests a body of parts that come in chunks: what is between the boundaries, part by part, in their order.

    It parses nothing else, so that equal parts have equal digests, and no body is an error. A body in which the
    boundary does not occur is one part.
    """

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._whole = sha256()
        self._part = sha256()
        self._rest = b"\r\n"  # before the first delimiter, which begins the body

    def update(self, chunk: bytes) -> None:
        """Digest what comes next of the body."""
        *ended, rest = (self._rest + chunk).split(self._delimiter)
        for piece in ended:
            self._part.update(piece)
            self._end_part()
        kept = len(self._delimiter) - 1
        self._part.update(rest[:-kept])
        self._rest = rest[-kept:]

    def hexdigest(self) -> str:
        """Return the digest of the whole body. Nothing can be added to it then."""
        self._part.update(self._rest)
        self._end_part()
        return self._whole.hexdigest()

    def _end_part(self) -> None:
        self._whole.update(self._part.digest())
        self._part = sha256()
