"""How the Redis behind the server is asked for what Upstash does in its own way, and how its replies are read."""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from itertools import islice, repeat
from typing import TypeAlias

from django_upstash.dev_server import commands, emulation
from django_upstash.dev_server.backend import BackendReply
from django_upstash.dev_server.encoding import Command, RequestError, StatusReply, nested_frames
from django_upstash.dev_server.scripts import DELEX, LockingScript, ScriptCache, locking_script

# A reply, and where RESP2 was asked for, the bytes that carried it.
Framed: TypeAlias = tuple[BackendReply, bytes | None]

# The version of a database seen in 2025.
UPSTASH_VERSION = b"1.13.3"
INFO_SECTIONS = ("server", "clients", "memory", "stats", "cluster", "keyspace")
WANTED = ("DELEX", "DIGEST", *emulation.LACKED)
_SETTING = b"notify-keyspace-events"

MULTI, EXEC = [b"MULTI"], [b"EXEC"]
# Within a transaction nobody else's commands are counted, so the difference is what the script ran: exactly, and
# without touching the script.
_COUNT = [b"INFO", b"commandstats"]
_STATISTICS = re.compile(rb"^cmdstat_([^:]+):calls=(\d+)(?:.*rejected_calls=(\d+))?", re.MULTILINE)


@dataclass(slots=True)
class CommandCall:
    """One command of a client: what is sent in its place, or what is answered without asking."""

    name: str
    command: Command | None = None
    reply: BackendReply = None
    counted: bool = False
    locking: bool = False
    compile: LockingScript | None = None
    rewrite: Callable[[BackendReply], BackendReply] | None = None
    inner: Counter[str] = field(default_factory=Counter)
    own_bytes: int = 0  # of the replies to what was sent only to count

    @property
    def refused(self) -> bool:
        return isinstance(self.reply, RequestError)

    @property
    def billed(self) -> list[str]:
        return [] if self.refused else [self.name, *self.inner.elements()]

    def alone(self) -> list[Command]:
        """Return what is sent for the command outside a transaction."""
        return [MULTI, *self.within(), EXEC] if self.command and self.counted else self.within()

    def within(self) -> list[Command]:
        """Return what is sent for the command inside a transaction."""
        if self.command is None:
            return []
        return [_COUNT, self.command, _COUNT] if self.counted else [self.command]

    def read_alone(self, replies: Iterator[Framed]) -> Framed:
        """Take the replies to what ``alone`` sent, and return the command's own."""
        if self.command is None or not self.counted:
            return self.read_within(replies)
        _, *queued, (results, frame) = islice(replies, 5)
        if isinstance(results, Exception):
            return next((reply for reply in queued if isinstance(reply[0], Exception)), (results, None))
        return self.read_within(zip(results, nested_frames(frame) if frame else repeat(None), strict=False))

    def read_within(self, replies: Iterator[Framed]) -> Framed:
        """Take the results of what ``within`` sent, and return the command's own."""
        if self.command is None:
            return self.reply, None
        if not self.counted:
            reply, frame = next(replies)
            return (reply, frame) if self.rewrite is None else (self.rewrite(reply), None)
        (before, _), answer, (after, _) = islice(replies, 3)
        self.inner = self._ran_between(before, after)
        self.own_bytes = len(before) + len(after)
        return answer

    def _ran_between(self, before: bytes, after: bytes) -> Counter[str]:
        ran = _statistics(after) - _statistics(before)
        ran["INFO"] -= 1
        own = {commands.word(self.command[0])} if self.command else set()
        # The wrapper of a locking script asks which of a command's arguments are keys.
        own |= {"COMMAND"} if self.locking else set()
        return Counter({name: count for name, count in ran.items() if count > 0 and name not in own})


class Dialect:
    """Upstash's commands in terms of the backend's."""

    def __init__(self, lacks: frozenset[str], tokens: dict[str, str]) -> None:
        self.scripts = ScriptCache()
        self._lacks = lacks
        self._tokens = tokens  # by the name of Upstash's user
        self._special = self._special_commands()
        if "DELEX" in lacks:
            self._special["DELEX"] = self._delex
        emulated = emulation.ALWAYS | {name: run for name, run in emulation.LACKED.items() if name in lacks}
        self._special |= {name: partial(_emulated, run) for name, run in emulated.items()}

    def _special_commands(self) -> dict[str, Callable[[str, Command], CommandCall]]:
        """Return by name how commands are run that Upstash runs in another way than the backend."""
        return {
            "ACL": self._acl,
            "COMMAND": lambda name, command: CommandCall(name, reply=[]),
            "CONFIG": self._config,
            "COPY": self._copy,
            "EVAL": self._eval,
            "EVALSHA": self._evalsha,
            "EVALSHA_RO": self._evalsha,
            "EVAL_RO": self._eval,
            "FCALL": lambda name, command: CommandCall(name, command, counted=True),
            "FCALL_RO": lambda name, command: CommandCall(name, command, counted=True),
            # Upstash has one database; the other ones of this Redis are somebody else's.
            "FLUSHALL": lambda name, command: CommandCall(name, [b"FLUSHDB", *command[1:]]),
            "INFO": self._info,
            "SCRIPT": self._script,
            "SELECT": self._select,
            "SET": self._set,
            "UNLINK": self._unlink,
            "XINFO": self._xinfo,
            "ZRANGE": self._zrange,
        }

    def call(self, command: Command, *, read_only: bool = False) -> CommandCall:
        """Return how a client's command is run, or refused."""
        name = commands.word(command[0])
        text = commands.refusal(name, command, read_only=read_only)
        if text is not None:
            return CommandCall(name, reply=RequestError(text))
        special = self._special.get(name)
        return CommandCall(name, command) if special is None else special(name, command)

    def _acl(self, name: str, command: Command) -> CommandCall:
        subcommand = commands.word(command[1]) if len(command) > 1 else ""
        if subcommand == "WHOAMI":
            return CommandCall(name, reply=b"default")
        if subcommand == "GENTOKEN":
            return CommandCall(name, reply=secrets.token_hex(32).encode())
        if subcommand == "RESTTOKEN" and len(command) == 4:
            user, password = (argument.decode("utf-8", "replace") for argument in command[2:])
            token = self._tokens.get(user)
            if token and secrets.compare_digest(token.encode(), password.encode()):
                return CommandCall(name, reply=token.encode())
            return CommandCall(name, reply=RequestError(f'ERR Wrong password or user "{user[:64]}" does not exist'))
        return CommandCall(name, command)

    def _config(self, name: str, command: Command) -> CommandCall:
        if len(command) < 3:
            return CommandCall(name, command)
        if commands.word(command[1]) == "GET":
            found = any(
                fnmatchcase(_SETTING.decode(), pattern.decode("utf-8", "replace").lower()) for pattern in command[2:]
            )
            return CommandCall(name, [b"CONFIG", b"GET", _SETTING]) if found else CommandCall(name, reply=[])
        for parameter in command[2::2]:
            if parameter.lower() != _SETTING:
                return CommandCall(
                    name, reply=RequestError(f"ERR Unsupported CONFIG parameter: {commands.word(parameter).lower()}")
                )
        return CommandCall(name, command)

    def _delex(self, name: str, command: Command) -> CommandCall:
        if len(command) < 2:
            return CommandCall(name, reply=RequestError(commands.wrong_arity(name)))
        if (refused := self._without_digests(name, map(commands.word, command[2:3]))) is not None:
            return refused
        return CommandCall(name, [b"EVAL", DELEX, b"1", *command[1:]])

    def _eval(self, name: str, command: Command) -> CommandCall:
        script = locking_script(command[1]) if len(command) > 1 else None
        if script is None:
            return CommandCall(name, command, counted=True)
        unseen = None if script.sha in self.scripts else script
        return CommandCall(name, [command[0], script.wrapped, *command[2:]], counted=True, locking=True, compile=unseen)

    def _evalsha(self, name: str, command: Command) -> CommandCall:
        script = self.scripts.get(command[1]) if len(command) > 1 else None
        if script is None:
            return CommandCall(name, command, counted=True)
        evaluate = name.replace("SHA", "").encode()
        return CommandCall(name, [evaluate, script.wrapped, *command[2:]], counted=True, locking=True)

    def _info(self, name: str, command: Command) -> CommandCall:
        asked = [commands.word(section).lower() for section in command[1:]]
        return CommandCall(name, [b"INFO"], rewrite=lambda reply: _info(reply, asked))

    def _script(self, name: str, command: Command) -> CommandCall:
        subcommand = commands.word(command[1]) if len(command) > 1 else ""
        if subcommand == "LOAD" and len(command) == 3 and (script := locking_script(command[2])):
            return CommandCall(name, reply=script.sha, compile=script)
        if subcommand == "EXISTS":
            return CommandCall(name, command, rewrite=lambda reply: self._known(reply, command[2:]))
        if subcommand == "FLUSH":
            self.scripts.clear()
        return CommandCall(name, command)

    def _known(self, reply: BackendReply, shas: list[bytes]) -> BackendReply:
        if isinstance(reply, Exception):
            return reply
        return [int(found or sha in self.scripts) for found, sha in zip(reply, shas, strict=True)]

    def _select(self, name: str, command: Command) -> CommandCall:
        if len(command) != 2:
            return CommandCall(name, reply=RequestError(commands.wrong_arity(name)))
        return CommandCall(name, reply=StatusReply(b"OK"))

    def _set(self, name: str, command: Command) -> CommandCall:
        # Upstash documents null where the condition fails, with GET too; Redis answers what is stored.
        options = emulation.set_options(command)
        if "GET" in options and "NX" in options:
            return CommandCall(name, command, rewrite=lambda reply: reply if isinstance(reply, Exception) else None)
        return self._without_digests(name, options) or _emulated(emulation.set_if, name, command)

    def _without_digests(self, name: str, options: Iterable[str]) -> CommandCall | None:
        """Return the refusal of options that only a Redis with digests has, where the one behind has none."""
        wanted = {"IFDEQ", "IFDNE"}.intersection(options)
        if "DIGEST" not in self._lacks or not wanted:
            return None
        return CommandCall(name, reply=RequestError(commands.lacking("ERR syntax error", f"{name} with {min(wanted)}")))

    def _copy(self, name: str, command: Command) -> CommandCall:
        if len(command) > 2 and command[1] == command[2]:
            return CommandCall(name, reply=0)
        return CommandCall(name, command)

    def _unlink(self, name: str, command: Command) -> CommandCall:
        return CommandCall(name, command) if len(command) > 1 else CommandCall(name, reply=0)

    def _xinfo(self, name: str, command: Command) -> CommandCall:
        if len(command) < 4 or commands.word(command[1]) != "CONSUMERS":
            return CommandCall(name, command)
        return CommandCall(name, command, rewrite=lambda reply: [] if str(reply).startswith("NOGROUP") else reply)

    def _zrange(self, name: str, command: Command) -> CommandCall:
        limit = emulation.rank_limit(command[4:])
        if limit is None:
            return CommandCall(name, command)
        offset, count, others = limit
        step = 2 if any(commands.word(option) == "WITHSCORES" for option in others) else 1
        return CommandCall(name, [*command[:4], *others], rewrite=lambda reply: _limited(reply, offset, count, step))


def _limited(reply: BackendReply, offset: int, count: int, step: int) -> BackendReply:
    if isinstance(reply, Exception):
        return reply
    if offset < 0:
        return []
    return reply[offset * step :] if count < 0 else reply[offset * step : (offset + count) * step]


def _emulated(emulate: emulation.Emulation, name: str, command: Command) -> CommandCall:
    try:
        return CommandCall(name, emulate(command) or command)
    except RequestError as error:
        return CommandCall(name, reply=error)


def _info(reply: BackendReply, asked: list[str]) -> BackendReply:
    if isinstance(reply, Exception):
        return reply
    if not asked or not {"all", "default", "everything"}.isdisjoint(asked):
        asked = list(INFO_SECTIONS)
    blocks = {heading.lower(): body for heading, _, body in map(_heading, reply.strip().split(b"\r\n\r\n"))}
    blocks[b"server"] = b"upstash_version:%b\r\n%b" % (UPSTASH_VERSION, blocks.get(b"server", b""))
    wanted = [
        b"# %b\r\n%b\r\n" % (name.title().encode(), blocks.get(name.encode(), b"") if name in INFO_SECTIONS else b"")
        for name in asked
    ]
    return b"\r\n".join(wanted)


def _heading(block: bytes) -> tuple[bytes, bytes, bytes]:
    return block.removeprefix(b"# ").partition(b"\r\n")


def _statistics(info: bytes) -> Counter[str]:
    calls: Counter[str] = Counter()
    for name, ran, rejected in _STATISTICS.findall(info):
        calls[name.decode().partition("|")[0].upper()] += int(ran) + int(rejected or 0)
    return calls
