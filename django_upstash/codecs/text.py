"""Stored bytes on a wire that carries only text: marked base64, which every reader accepts."""

from __future__ import annotations

from base64 import b64decode, b64encode

# "~" begins no decimal number, JSON document, pickle, msgpack document longer than a byte, or compressed stream.
MARK = b"~b64:"


class Encoded(bytes):
    """
    The stored form of a value, to be written exactly so where the wire allows, and as marked text where it does not.

    Codecs return it in place of plain bytes when they are asked for a text-safe form, that is, for a route over REST.
    A route sends the bytes themselves where it can (the raw body of a single command), and ``as_text()`` elsewhere
    (any JSON request). What is read back may be either form; the codecs accept both.
    """

    __slots__ = ()

    def as_text(self) -> str:
        """Return the bytes as they are where they are UTF-8, and otherwise as the mark followed by their base64."""
        try:
            return self.decode()
        except UnicodeDecodeError:
            return marked(self).decode()


def marked(data: bytes) -> bytes:
    """Return the marked text for stored bytes."""
    return MARK + b64encode(data)


def unmarked(data: bytes) -> bytes:
    """Return the stored bytes of a reply, whichever form it has; raise ``ValueError`` where marked text is damaged."""
    return b64decode(data[len(MARK) :], validate=True) if data.startswith(MARK) else data
