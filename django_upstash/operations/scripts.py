"""Lua scripts: one ``.lua`` file each, run by EVALSHA, and by EVAL where the server has not seen them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from django_upstash.operations import Argument, Operation, Reply, only

if TYPE_CHECKING:
    from django_upstash.operations.capabilities import Capabilities

# https://upstash.com/docs/redis/features/key-locking
KEY_LOCKING = "#!lua flags=allow-key-locking\n"
_RUNNING = "EVALSHA"
_NAMED = re.compile(r"['`\"]eval(sha)?['`\"]", re.IGNORECASE)


class Script:
    """A script in two forms: plain, and with Upstash's key-locking flag on its first line."""

    def __init__(self, source: str) -> None:
        self._forms = {
            locking: (hashlib.sha1(text.encode()).hexdigest(), text)
            for locking, text in ((False, source), (True, KEY_LOCKING + source))
        }

    @property
    def names(self) -> frozenset[Argument]:
        """What EVALSHA and EVAL call it by: the digest and the text of each form."""
        return frozenset(name for form in self._forms.values() for name in form)

    def operation(
        self,
        capabilities: Capabilities,
        keys: Sequence[Argument],
        arguments: Sequence[Argument],
        parse: Callable[[list[Reply]], Any] = only,
        *,
        replay_safe: bool = False,
        instead: Callable[[], Operation[Any]] | None = None,
    ) -> Operation[Any]:
        """
        Return the operation that runs the script; ``parse`` receives its one reply, errors included.

        ``instead`` makes the operation for a user who may not run scripts, of commands that come close enough.
        """
        if instead is not None:
            if not capabilities.has(_RUNNING):
                return instead()
            parse = _or_instead(capabilities, parse, instead)
        sha, _ = self._forms[capabilities.key_locking]
        command = ("EVALSHA", sha, str(len(keys)), *keys, *arguments)  # text packs faster than numbers
        parse = self._or_eval(capabilities, command[2:], parse, replay_safe)
        return Operation((command,), parse, replay_safe=replay_safe)

    def _or_eval(
        self, capabilities: Capabilities, tail: tuple[Argument, ...], parse: Callable[[list[Reply]], Any], safe: bool
    ) -> Callable[[list[Reply]], Any]:
        def parse_first(replies: list[Reply]) -> Any:
            if isinstance(replies[0], Exception) and _is_noscript(replies[0]):
                return self._eval(capabilities, tail, parse, safe)
            return parse(replies)

        return parse_first

    def _eval(
        self, capabilities: Capabilities, tail: tuple[Argument, ...], parse: Callable[[list[Reply]], Any], safe: bool
    ) -> Operation[Any]:
        locking = capabilities.key_locking

        def parse_eval(replies: list[Reply]) -> Any:
            if locking and refuses_key_locking(replies[0]):
                capabilities.key_locking = False
                return self._eval(capabilities, tail, parse, safe)
            return parse(replies)

        return Operation((("EVAL", self._forms[locking][1], *tail),), parse_eval, replay_safe=safe)


def _or_instead(
    capabilities: Capabilities, parse: Callable[[list[Reply]], Any], instead: Callable[[], Operation[Any]]
) -> Callable[[list[Reply]], Any]:
    def parse_either(replies: list[Reply]) -> Any:
        # What a command inside the script is refused speaks of that command.
        reply = replies[0]
        if isinstance(reply, Exception) and _NAMED.search(str(reply)) and capabilities.withholds(_RUNNING, reply):
            return instead()
        return parse(replies)

    return parse_either


@cache
def load(name: str) -> Script:
    """Return the script ``FOLDER/NAME``: the text of ``lua/NAME.lua`` in that folder of this package."""
    folder, _, name = name.partition("/")
    return Script(files("django_upstash").joinpath(folder, "lua", f"{name}.lua").read_text(encoding="utf-8"))


def _is_noscript(reply: Reply) -> bool:
    from django_upstash.exceptions import NoScriptError

    return isinstance(reply, NoScriptError)


def refuses_key_locking(reply: Reply) -> bool:
    """Tell whether a reply is the error of a server that does not know the key-locking flag."""
    # Redis 7 and Valkey: "Unexpected flag in script shebang: allow-key-locking"; Redis 6, which knows no
    # shebang: "Error compiling script (new function): user_script:1: unexpected symbol near '#'".
    text = str(reply) if isinstance(reply, Exception) else ""
    return "allow-key-locking" in text or "unexpected symbol near '#'" in text
