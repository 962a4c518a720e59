"""Which keys commands may write: what must not overtake a write that its caller has given up."""

from __future__ import annotations

from collections.abc import Iterable

from django_upstash.operations import Argument, Command

_READS = frozenset(
    "BITCOUNT BITPOS DBSIZE DIGEST DUMP ECHO EVALSHA_RO EVAL_RO EXISTS EXPIRETIME GET GETBIT GETRANGE HEXISTS HGET "
    "HGETALL HKEYS HLEN HMGET HRANDFIELD HSCAN HSTRLEN HVALS INFO KEYS LINDEX LLEN LPOS LRANGE MEMORY MGET OBJECT "
    "PEXPIRETIME PFCOUNT PING PTTL PUBLISH RANDOMKEY SCAN SCARD SCRIPT SDIFF SINTER SINTERCARD SISMEMBER SMEMBERS "
    "SMISMEMBER SRANDMEMBER SSCAN STRLEN SUNION TIME TTL TYPE XINFO XLEN XPENDING XRANGE XREAD XREVRANGE ZCARD ZCOUNT "
    "ZINTER ZLEXCOUNT ZMSCORE ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANK ZREVRANGE ZREVRANK ZSCAN ZSCORE "
    "ZUNION".split()
)
_FIRST_IS_THE_KEY = frozenset(
    "APPEND DECR DECRBY DELEX DELIFEQ EXPIRE EXPIREAT GETDEL GETEX GETSET HDEL HEXPIRE HGETDEL HGETEX HINCRBY "
    "HINCRBYFLOAT HMSET HPERSIST HPEXPIRE HSET HSETEX HSETNX INCR INCRBY INCRBYFLOAT LINSERT LPOP LPUSH LPUSHX LREM "
    "LSET LTRIM PERSIST PEXPIRE PEXPIREAT PFADD PSETEX RESTORE RPOP RPUSH RPUSHX SADD SET SETBIT SETEX SETNX SETRANGE "
    "SPOP SREM XACK XADD XAUTOCLAIM XCLAIM XDEL XGROUP XSETID XTRIM ZADD ZINCRBY ZPOPMAX ZPOPMIN ZREM ZREMRANGEBYLEX "
    "ZREMRANGEBYRANK ZREMRANGEBYSCORE".split()
)
_SCRIPTS = frozenset({"EVAL", "EVALSHA", "FCALL"})
_SUBCOMMANDS = frozenset({"XGROUP"})
_EVERY_KEY = b"\x00every key"

Keys = frozenset[bytes]


def written_keys(commands: Iterable[Command]) -> Keys:
    """Return the keys that the commands may write. Of commands that are not known here, every argument is one."""
    found: set[bytes] = set()
    for command in commands:
        name = _bytes(command[0]).decode("latin-1").upper()
        if name not in _READS:
            found.update(map(_bytes, _keys(name, command)) if len(command) > 1 else (_EVERY_KEY,))
    return frozenset(found)


def overlap(some: Keys, others: Keys) -> bool:
    """Tell whether two sets of written keys have one in common; FLUSHDB writes every key."""
    if _EVERY_KEY in some or _EVERY_KEY in others:
        return bool(some and others)
    return not some.isdisjoint(others)


def _keys(name: str, command: Command) -> Iterable[Argument]:
    if name in _FIRST_IS_THE_KEY:
        return command[2:3] if name in _SUBCOMMANDS else command[1:2]
    if name in ("MSET", "MSETNX"):
        return command[1::2]
    if name == "MSETEX":
        return command[2 : 2 + 2 * _number(command[1]) : 2]
    if name in _SCRIPTS:
        return command[3 : 3 + _number(command[2])] if len(command) > 2 else ()
    if name in ("FLUSHALL", "FLUSHDB", "SWAPDB"):
        return (_EVERY_KEY,)
    return command[1:]


def _number(argument: Argument) -> int:
    try:
        return int(argument)
    except ValueError:
        return 0


def _bytes(argument: Argument) -> bytes:
    return argument if isinstance(argument, bytes) else str(argument).encode("utf-8", "surrogatepass")
