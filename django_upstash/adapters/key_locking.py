"""
Scripts with Upstash's key-locking flag, on servers that refuse it: they run without it, as this package's own do.

Clients go on to know such a script by the digest of its full text: here it is translated.

https://upstash.com/docs/redis/features/key-locking
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from hashlib import sha1

from django_upstash.operations import Argument, Command, Operation, Reply
from django_upstash.operations.capabilities import Capabilities
from django_upstash.operations.scripts import refuses_key_locking

_FLAG = "allow-key-locking"
_SHEBANG = re.compile(r"#!lua\b([^\n]*)")
_MOST_DIGESTS = 1000
# By the digest of a script with the flag, that of the script without; the digests say all there is to say.
_digests: dict[str, str] = {}


def batch(commands: Sequence[Command], capabilities: Capabilities, *, atomic: bool = False) -> Operation[list[Reply]]:
    """Return the operation of these commands, whose result is their replies, errors included."""
    if not any(_runs_scripts(command) for command in commands):
        return Operation(commands, list, atomic=atomic)
    if capabilities.key_locking:
        return Operation(commands, partial(_without_flag, commands, capabilities, atomic), atomic=atomic)
    sent = [plain(command) for command in commands]
    return Operation(sent, lambda replies: list(map(_as_asked, commands, replies)), atomic=atomic)


def plain(command: Command) -> Command:
    """Return a command for a server that does not know the flag: scripts without it, and their digests."""
    if not _runs_scripts(command):
        return command
    name, first, *rest = command
    if _word(name).startswith("EVALSHA"):
        return name, _digests.get(str(first).lower(), first), *rest
    if not _word(name).startswith("EVAL"):
        return name, first, *(_plain_digest_or_text(argument) for argument in rest)
    return name, _plain_text(first), *rest


def _without_flag(
    commands: Sequence[Command], capabilities: Capabilities, atomic: bool, replies: list[Reply]
) -> list[Reply] | Operation[list[Reply]]:
    """Return the replies; where the server has refused the flag, which it is not sent again, run those without it."""
    refused = [place for place, reply in enumerate(replies) if refuses_key_locking(reply)]
    if not refused:
        return replies
    capabilities.key_locking = False
    if atomic:  # the others have run
        return replies

    def merge(again: list[Reply]) -> list[Reply]:
        merged = list(replies)
        for place, reply in zip(refused, again, strict=True):
            merged[place] = _as_asked(commands[place], reply)
        return merged

    return Operation([plain(commands[place]) for place in refused], merge)


def _as_asked(command: Command, reply: Reply) -> Reply:
    """Return the reply to a command that may have been changed: what SCRIPT LOAD returns is the given text's digest."""
    is_load = len(command) > 2 and _word(command[0]) == "SCRIPT" and _word(command[1]) == "LOAD"
    if is_load and isinstance(reply, bytes) and isinstance(command[2], str):
        return _digest(command[2]).encode()
    return reply


def _runs_scripts(command: Command) -> bool:
    return len(command) > 1 and _word(command[0]) in {"EVAL", "EVAL_RO", "EVALSHA", "EVALSHA_RO", "SCRIPT"}


def _plain_digest_or_text(argument: Argument) -> Argument:
    return _digests.get(str(argument).lower()) or _plain_text(argument)


def _plain_text(script: Argument) -> Argument:
    shebang = _SHEBANG.match(script) if isinstance(script, str) else None
    if shebang is None or not isinstance(script, str) or _FLAG not in shebang[1]:
        return script
    options = [_without_the_flag(option) for option in shebang[1].split()]
    kept = " ".join(filter(None, options))
    # Without options an empty line takes the place of the first, so that the lines keep their numbers.
    text = (f"#!lua {kept}" if kept else "") + script[shebang.end() :]
    while len(_digests) >= _MOST_DIGESTS:
        _digests.pop(next(iter(_digests)), None)
    _digests[_digest(script)] = _digest(text)
    return text


def _without_the_flag(option: str) -> str:
    name, _, value = option.partition("=")
    if name != "flags":
        return option
    flags = [flag for flag in value.split(",") if flag != _FLAG]
    return f"flags={','.join(flags)}" if flags else ""


def _digest(script: str) -> str:
    return sha1(script.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def _word(argument: Argument) -> str:
    return argument.upper() if isinstance(argument, str) else ""
