"""
Upstash's key-locking scripts on a server that does not know the flag.

A script whose first line is ``#!lua flags=allow-key-locking`` is run without the flag, inside a wrapper that refuses
undeclared keys as Upstash does. It is still called by the SHA of its original text.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_SHEBANG = re.compile(rb"#!lua\b([^\n]*)\n?")
_FLAG = b"allow-key-locking"
DELEX = files(__package__).joinpath("delex.lua").read_bytes()


@dataclass(frozen=True)
class LockingScript:
    """A script with the flag: its SHA, its text without the flag, and the text that runs in its place."""

    sha: bytes
    plain: bytes
    wrapped: bytes


def locking_script(text: bytes) -> LockingScript | None:
    """Return the script in its runnable forms where it has the key-locking flag, else None."""
    shebang = _SHEBANG.match(text)
    first_line = _without_flag(shebang[1]) if shebang else None
    if shebang is None or first_line is None:
        return None
    source = text[shebang.end() :]
    sha = hashlib.sha1(text).hexdigest().encode()
    # Without other flags an empty line replaces the shebang, so that the lines keep their numbers.
    wrapped = _wrapped(source if first_line else b"\n" + source, sha, 1 + text.count(b"\n"))
    return LockingScript(sha, (first_line or b"\n") + source, first_line + wrapped)


class ScriptCache:
    """The key-locking scripts that clients have sent and the server has compiled."""

    def __init__(self) -> None:
        self._by_sha: dict[bytes, LockingScript] = {}

    def __contains__(self, sha: bytes) -> bool:
        return sha.lower() in self._by_sha

    def get(self, sha: bytes) -> LockingScript | None:
        return self._by_sha.get(sha.lower())

    def add(self, script: LockingScript) -> None:
        self._by_sha[script.sha] = script

    def clear(self) -> None:
        self._by_sha.clear()


def _without_flag(options: bytes) -> bytes | None:
    """Return the shebang line with what options remain, empty where none do; None where the flag is not among them."""
    found, words = False, []
    for word in options.split():
        name, _, value = word.partition(b"=")
        flags = value.split(b",")
        if name == b"flags" and _FLAG in flags:
            found = True
            flags = [flag for flag in flags if flag != _FLAG]
            word = b"flags=" + b",".join(flags) if flags else b""
        words.append(word)
    if not found:
        return None
    kept = b" ".join(filter(None, words))
    return b"#!lua " + kept + b"\n" if kept else b""


def _wrapped(source: bytes, sha: bytes, last_line: int) -> bytes:
    parts = {b"@source@": source, b"@sha@": sha, b"@last@": str(last_line).encode()}
    return re.sub(rb"@(?:source|sha|last)@", lambda match: parts[match[0]], _template())


@cache
def _template() -> bytes:
    text = files(__package__).joinpath("key_locking.lua").read_bytes()
    return re.sub(rb"^--.*\n", b"", text, flags=re.MULTILINE)  # the script's first line must come first
