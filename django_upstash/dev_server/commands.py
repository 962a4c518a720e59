"""
Which commands Upstash takes over REST, which of them write, and the texts with which it refuses the others.

The inventory is https://upstash.com/docs/redis/commands; what it leaves out is "not available".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Connection and transaction state mean nothing over stateless HTTP, or have a path of their own; nothing may block.
NOT_OVER_REST = _names(
    """
    AUTH CLIENT DISCARD EXEC HELLO MONITOR MULTI PSUBSCRIBE PUNSUBSCRIBE QUIT RESET SUBSCRIBE UNSUBSCRIBE UNWATCH
    WATCH BLMOVE BLMPOP BLPOP BRPOP BRPOPLPUSH BZMPOP BZPOPMAX BZPOPMIN
    """
)
READS = _names(
    """
    ARCOUNT ARGET ARGETRANGE ARGREP ARINFO ARLASTITEMS ARLEN ARMGET ARNEXT AROP ARSCAN BITCOUNT BITFIELD_RO BITPOS
    COMMAND DBSIZE DIGEST DUMP ECHO EVALSHA_RO EVAL_RO EXISTS EXPIRETIME FCALL_RO GEODIST GEOHASH GEOPOS
    GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH GET GETBIT GETRANGE HEXISTS HEXPIRETIME HGET HGETALL HKEYS HLEN HMGET
    HPEXPIRETIME HPTTL HRANDFIELD HSCAN HSTRLEN HTTL HVALS INFO JSON.ARRINDEX JSON.ARRLEN JSON.DEBUG JSON.GET
    JSON.MGET JSON.OBJKEYS JSON.OBJLEN JSON.RESP JSON.STRLEN JSON.TYPE KEYS LINDEX LLEN LPOS LRANGE MEMORY MGET
    PEXPIRETIME PFCOUNT PING PTTL PUBSUB RANDOMKEY SCAN SCARD SDIFF SDIFFCARD SEARCH.AGGREGATE SEARCH.COUNT
    SEARCH.DESCRIBE SEARCH.LISTALIASES SEARCH.LISTINDEXES SEARCH.QUERY SEARCH.WAITINDEXING SELECT SINTER SINTERCARD
    SISMEMBER SMEMBERS SMISMEMBER SRANDMEMBER SSCAN STRLEN SUNION SUNIONCARD TIME TOUCH TTL TYPE VECTOR.COUNT
    VECTOR.GET VECTOR.INFO VECTOR.QUERY WAIT WAITAOF XINFO XLEN XPENDING XRANGE XREAD XREVRANGE ZCARD ZCOUNT ZDIFF
    ZINTER ZINTERCARD ZLEXCOUNT ZMSCORE ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANK ZREVRANGE ZREVRANGEBYLEX
    ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE ZUNION
    """
)
WRITES = _names(
    """
    APPEND ARDEL ARDELRANGE ARINSERT ARMSET ARRING ARSEEK ARSET BITFIELD BITOP COPY DECR DECRBY DEL DELEX EVAL
    EVALSHA EXPIRE EXPIREAT FCALL FLUSHALL FLUSHDB GEOADD GEORADIUS GEORADIUSBYMEMBER GEOSEARCHSTORE GETDEL GETEX
    GETSET HDEL HEXPIRE HEXPIREAT HGETDEL HGETEX HINCRBY HINCRBYFLOAT HMSET HPERSIST HPEXPIRE HPEXPIREAT HSET HSETEX
    HSETNX INCR INCRBY INCRBYFLOAT JSON.ARRAPPEND JSON.ARRINSERT JSON.ARRPOP JSON.ARRTRIM JSON.CLEAR JSON.DEL
    JSON.FORGET JSON.MERGE JSON.MSET JSON.NUMINCRBY JSON.NUMMULTBY JSON.SET JSON.STRAPPEND JSON.TOGGLE LINSERT LMOVE
    LMPOP LPOP LPUSH LPUSHX LREM LSET LTRIM MSET MSETEX MSETNX PERSIST PEXPIRE PEXPIREAT PFADD PFMERGE PSETEX RENAME
    RENAMENX RESTORE RPOP RPOPLPUSH RPUSH RPUSHX SADD SDIFFSTORE SEARCH.ALIASADD SEARCH.ALIASDEL SEARCH.CREATE
    SEARCH.DROP SEARCH.REINDEX SET SETBIT SETEX SETNX SETRANGE SINTERSTORE SMOVE SPOP SREM SUNIONSTORE UNLINK
    VECTOR.ADD VECTOR.CREATE VECTOR.DEL VECTOR.DROP XACK XACKDEL XADD XAUTOCLAIM XCLAIM XDEL XDELEX XGROUP XREADGROUP
    XTRIM ZADD ZDIFFSTORE ZINCRBY ZINTERSTORE ZMPOP ZPOPMAX ZPOPMIN ZRANGESTORE ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK
    ZREMRANGEBYSCORE ZUNIONSTORE
    """
)
# These change the server rather than the data, so they do not move the sync token.
ADMINISTRATION = frozenset({"ACL", "CONFIG", "FUNCTION", "PUBLISH", "SCRIPT"})
AVAILABLE = READS | WRITES | ADMINISTRATION
SUBCOMMANDS = {
    "ACL": frozenset({"CAT", "GENPASS", "GENTOKEN", "RESTTOKEN", "WHOAMI"}),
    "CONFIG": frozenset({"GET", "SET"}),
    "FUNCTION": frozenset({"DELETE", "FLUSH", "KILL", "LIST", "LOAD", "STATS"}),
    "MEMORY": frozenset({"USAGE"}),
    "SCRIPT": frozenset({"EXISTS", "FLUSH", "KILL", "LOAD"}),
    "XINFO": frozenset({"CONSUMERS", "GROUPS", "STREAM"}),
}
# A read-only token may be public, so it does not list what is stored either.
NOT_READ_ONLY = frozenset({"KEYS", "SCAN"})

SCRIPTED = frozenset({"EVAL", "EVALSHA", "EVALSHA_RO", "EVAL_RO", "FCALL", "FCALL_RO"})

LARGEST_KEY = 32 * 1024
_NO_KEY = _names(
    """
    ACL COMMAND CONFIG DBSIZE ECHO FLUSHALL FLUSHDB FUNCTION INFO KEYS PING PUBLISH PUBSUB SCAN SCRIPT
    """
)
_ALL_KEYS = _names("DEL EXISTS MGET PFCOUNT SDIFF SINTER SUNION TOUCH UNLINK")
_EVERY_SECOND_IS_KEY = frozenset({"MSET", "MSETNX"})

UNAUTHORIZED = (
    "WRONGPASS invalid or missing auth token. "
    "See https://docs.upstash.com/redis/troubleshooting/http_unauthorized for details."
)
QUOTA_EXCEEDED = (
    "ERR max requests limit exceeded. Limit: 500000, Usage: 500000. "
    "See https://upstash.com/docs/redis/troubleshooting/max_requests_limit for details"
)
UPGRADING = "READONLY Writes are temporarily rejected due to server upgrade"
FULL = "ERR DB capacity quota exceeded. Threshold: 268435456 bytes, Usage: 268435456 bytes"
NO_SCRIPT = "NOSCRIPT No matching script. Please use EVAL."
NOT_DATABASE_ZERO = "ERR DB index is out of range"

_ECHO = re.compile(r",? with args beginning with:.*", re.DOTALL)


def refusal(name: str, command: Sequence[bytes], *, read_only: bool) -> str | None:
    """Return Upstash's error text for a command that it does not take over REST, or None. ``name`` is in capitals."""
    if name in NOT_OVER_REST:
        return f'ERR Command "{name}" is not allowed in REST or it has a special context path'
    if name not in AVAILABLE:
        return _not_available(name)
    subcommands = SUBCOMMANDS.get(name)
    if subcommands and len(command) > 1 and (subcommand := word(command[1])) not in subcommands:
        return _not_available(f"{name} {subcommand}")
    if read_only and (name not in READS or name in NOT_READ_ONLY):
        return no_permission(name)
    return _option_refusal(name, command) or _key_refusal(name, command)


def size_refusal(size: int, limit: int) -> str:
    """Return the error text for a request or reply of ``size`` bytes."""
    return f"ERR max request size exceeded. Limit: {limit} bytes, Actual: {size} bytes"


def error_text(text: str) -> str:
    """Return a server's error as Upstash words it, and without the arguments that it repeats: they may be secret."""
    return NO_SCRIPT if text.startswith("NOSCRIPT ") else _ECHO.sub("", text)


def lacking(refusal: str, what: str) -> str:
    """Return the error text for what Upstash has and the Redis behind this server refuses as unknown."""
    return f"{refusal}; Upstash has it, but the Redis behind upstash_local does not have {what}"


def no_permission(name: str) -> str:
    return f"NOPERM this user has no permissions to run the '{name.lower()}' command or its subcommand"


def wrong_arity(name: str) -> str:
    return f"ERR wrong number of arguments for '{name.lower()}' command"


def word(argument: bytes) -> str:
    """Return a command's or an option's name in capitals, short enough to be quoted in an error."""
    return argument[:64].upper().decode("utf-8", "replace")


def _not_available(name: str) -> str:
    return (
        f"ERR Command is not available: '{name}'. "
        "See https://upstash.com/docs/redis/overall/rediscompatibility for details"
    )


def _option_refusal(name: str, command: Sequence[bytes]) -> str | None:
    if name == "SELECT" and len(command) == 2 and command[1] != b"0":
        return NOT_DATABASE_ZERO
    if name == "COPY" and any(a.upper() == b"DB" and b != b"0" for a, b in pairwise(command[3:])):
        return NOT_DATABASE_ZERO
    if name in ("XREAD", "XREADGROUP") and b"BLOCK" in _xread_options(command):
        return f'ERR Command "{name}" with BLOCK is not allowed in REST'
    return None


def _xread_options(command: Sequence[bytes]) -> Iterator[bytes]:
    # Streams, a group or a consumer may well be called "block".
    options = map(bytes.upper, command[4 if command[0].upper() == b"XREADGROUP" else 1 :])
    return takewhile(lambda option: option != b"STREAMS", options)


def _key_refusal(name: str, command: Sequence[bytes]) -> str | None:
    longest = max((len(key) for key in _keys(name, command)), default=0)
    if longest <= LARGEST_KEY:
        return None
    return f"ERR max key size exceeded. Limit: {LARGEST_KEY} bytes, Actual: {longest} bytes"


def _keys(name: str, command: Sequence[bytes]) -> Sequence[bytes]:
    if name in _ALL_KEYS:
        return command[1:]
    if name in _EVERY_SECOND_IS_KEY:
        return command[1::2]
    if name == "MSETEX":
        return command[2::2]
    if name in _NO_KEY or name in SCRIPTED:
        return ()
    return command[1:2]
