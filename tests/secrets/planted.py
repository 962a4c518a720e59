"""
The secrets that tests plant, and a search for them in every form that a report could give them.

They are made of parts, for reports quote lines of code, and a test's own frames name this module alone.
"""

from __future__ import annotations

import base64
import re
from urllib.parse import quote

_PARTS = ("Pl4n", "tedW0rd")
_PROXY_PARTS = ("Tunn", "elW0rd7")


class Planted:
    """A secret with characters that break URLs; ``core`` is the part of it that no encoding but base64 changes."""

    __slots__ = ("core",)

    def __init__(self, *parts: str) -> None:
        self.core = "".join(parts)

    def __repr__(self) -> str:
        return "<planted>"

    @property
    def text(self) -> str:
        return f"{self.core}/@:{self.core}"

    @property
    def quoted(self) -> str:
        return quote(self.text, safe="")

    def forms(self) -> list[str]:
        """Return what shows the secret: its core in clear, and in base64 at each of the three places in a group."""
        data = self.core.encode()
        encoded = [base64.b64encode(b"\0" * shift + data).decode() for shift in range(3)]
        inner = [text[(0, 2, 3)[shift] : len(text) - 4] for shift, text in enumerate(encoded)]
        return [self.core, data.hex(), *inner]


PASSWORD = Planted(*_PARTS)
PROXY_PASSWORD = Planted(*_PROXY_PARTS)


def places(text: str) -> list[str]:
    """Return the surroundings of every planted secret in a text, the secret itself left out."""
    found = []
    for planted in (PASSWORD, PROXY_PASSWORD):
        for form in planted.forms():
            found += [
                f"{text[max(0, match.start() - 120) : match.start()]}<<<>>>{text[match.end() : match.end() + 40]}"
                for match in re.finditer(re.escape(form), text)
            ]
    return found
