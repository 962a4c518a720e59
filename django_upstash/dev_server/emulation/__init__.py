"""
What Upstash does and the Redis behind the local server does not, done by a script there.

A script is billed as the command that it is run for. Commands within clients' own scripts are not replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import TypeAlias

from django_upstash.dev_server.commands import word, wrong_arity
from django_upstash.dev_server.encoding import Command, RequestError

# Takes a client's command; returns what runs in its place, None where that is the command itself.
Emulation: TypeAlias = Callable[[Command], Command | None]

SYNTAX_ERROR = "ERR syntax error"
_VALUED = frozenset({"EX", "EXAT", "IFDEQ", "IFDNE", "IFEQ", "IFNE", "PX", "PXAT"})
_POLICIES = frozenset({"ACKED", "DELREF", "KEEPREF"})


def set_options(command: Command) -> dict[str, Command]:
    """Return SET's options in capitals, each with the arguments that it is made of."""
    options, rest = {}, command[3:]
    while rest:
        name = word(rest[0])
        taken = 2 if name in _VALUED else 1
        options[name], rest = rest[:taken], rest[taken:]
    return options


def set_if(command: Command) -> Command | None:
    options = set_options(command)
    conditions = options.keys() & {"IFDEQ", "IFDNE", "IFEQ", "IFNE", "NX", "XX"}
    (name,) = conditions if len(conditions) == 1 else ("",)
    if name not in ("IFEQ", "IFNE") or len(options[name]) != 2:
        return None
    others = [argument for option, parts in options.items() if option != name for argument in parts]
    return _evaluated("set", command[1:2], [name.encode(), options[name][1], command[2], *others])


def msetex(command: Command) -> Command | None:
    count = _count(command[1:2])
    pairs, options = command[2 : 2 + 2 * count], command[2 + 2 * count :]
    if not count or len(pairs) != 2 * count:
        raise RequestError(SYNTAX_ERROR)
    conditions = [option for option in options if word(option) in ("NX", "XX")]
    if len(conditions) > 1:
        raise RequestError(SYNTAX_ERROR)
    kept = [option for option in options if option not in conditions]
    condition = word(conditions[0]).encode() if conditions else b""
    return _evaluated("msetex", pairs[::2], [condition, str(len(kept)).encode(), *kept, *pairs[1::2]])


def bitop(command: Command) -> Command | None:
    operation = word(command[1]) if len(command) > 1 else ""
    if operation not in ("ANDOR", "DIFF", "DIFF1", "ONE") or len(command) < 4:
        return None
    if operation != "ONE" and len(command) < 5:
        raise RequestError(f"ERR BITOP {operation} must be called with at least two source keys.")
    return _evaluated("bitop", command[2:], [operation.encode()])


def xdelex(command: Command) -> Command | None:
    return _deleted("XDELEX", command[1:2], b"", command[2:])


def xackdel(command: Command) -> Command | None:
    group = command[2] if len(command) > 2 else b""
    return _deleted("XACKDEL", command[1:2], group, command[3:])


def scan(command: Command) -> Command | None:
    # The words of a pattern or of a type do not count: every option but WITHTYPE takes one.
    kept, rest = command[1:2], command[2:]
    while rest:
        taken = 1 if word(rest[0]) == "WITHTYPE" else 2
        kept, rest = kept + (rest[:taken] if taken == 2 else []), rest[taken:]
    return None if len(kept) == len(command) - 1 else _evaluated("scan", [], kept)


def xreadgroup(command: Command) -> Command | None:
    options = list(map(word, command[4:]))
    place = options.index("STREAMS") if "STREAMS" in options else 0
    if "NOACK" not in options[:place]:
        return None
    streams = command[4 + place + 1 :]
    return _evaluated("xreadgroup", streams[: len(streams) // 2], command[1:])


def xtrim(command: Command) -> Command | None:
    # Upstash trims to within an entry or so of what is asked; Redis removes whole nodes of a hundred.
    if len(command) != 5 or command[3] != b"~":
        return None
    return [*command[:3], b"=", command[4]]


def zrangestore(command: Command) -> Command | None:
    limit = rank_limit(command[5:])
    if limit is None:
        return None
    offset, count, others = limit
    numbers = [str(number).encode() for number in (offset, count)]
    return _evaluated("zrangestore", command[1:3], [*numbers, *command[3:5], *others, b"WITHSCORES"])


def rank_limit(options: Command) -> tuple[int, int, Command] | None:
    """Return the offset and the count with which ZRANGE's options limit ranks, and the other options."""
    names = list(map(word, options))
    if "LIMIT" not in names or {"BYLEX", "BYSCORE"}.intersection(names):
        return None
    place = names.index("LIMIT")
    try:
        offset, count = map(int, options[place + 1 : place + 3])
    except ValueError:
        return None
    return offset, count, options[:place] + options[place + 3 :]


# Where the Redis behind has the command, it behaves like Upstash.
LACKED: dict[str, Emulation] = {"MSETEX": msetex, "XDELEX": xdelex}
ALWAYS: dict[str, Emulation] = {
    "BITOP": bitop,
    "SCAN": scan,
    "XACKDEL": xackdel,
    "XREADGROUP": xreadgroup,
    "XTRIM": xtrim,
    "ZRANGESTORE": zrangestore,
}


def _deleted(name: str, key: Command, group: bytes, rest: Command) -> Command:
    policy = rest[0] if rest and word(rest[0]) in _POLICIES else b"KEEPREF"
    ids = rest[1:] if rest[:1] == [policy] else rest
    if not key or len(ids) < 3:
        raise RequestError(wrong_arity(name))
    if word(ids[0]) != "IDS" or _count(ids[1:2]) != len(ids) - 2:
        raise RequestError(SYNTAX_ERROR)
    return _evaluated("xdelex", key, [group, policy.upper(), *ids[2:]])


def _count(arguments: Command) -> int:
    return int(arguments[0]) if arguments and arguments[0].isdigit() else 0


def _evaluated(script: str, keys: Command, arguments: Command) -> Command:
    return [b"EVAL", _script(script), str(len(keys)).encode(), *keys, *arguments]


@cache
def _script(name: str) -> bytes:
    return files(__package__).joinpath(f"{name}.lua").read_bytes()
