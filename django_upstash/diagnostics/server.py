"""What a server says about itself in INFO and DBSIZE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django_upstash.operations import Operation, checked

# The field of INFO that tells the software, the most particular first: all of them give a `redis_version`.
_SOFTWARE = (("upstash_version", "Upstash"), ("valkey_version", "Valkey"), ("redis_version", "Redis"))


@dataclass(frozen=True, kw_only=True)
class ServerInfo:
    """A server's state. Sizes in bytes; None is what the server does not tell, ``max_memory`` 0 is no limit."""

    software: str
    version: str
    redis_version: str  # whose commands it speaks
    keys: int
    keys_with_ttl: int | None
    memory: int | None
    max_memory: int | None
    eviction_policy: str | None
    evicted_keys: int | None
    clients: int | None
    max_clients: int | None
    uptime: int | None  # seconds

    @property
    def name(self) -> str:
        return f"{self.software} {self.version}".rstrip()

    @property
    def keys_without_ttl(self) -> int | None:
        return None if self.keys_with_ttl is None else max(self.keys - self.keys_with_ttl, 0)

    @property
    def evicts(self) -> bool:
        """Whether keys go when the database is full, those that have a lifetime at least."""
        return self.eviction_policy not in (None, "noeviction")

    @property
    def evicts_lasting_keys(self) -> bool:
        """Whether keys without a lifetime go, too: by an allkeys policy, and by Upstash's, after all others."""
        return self.evicts and not str(self.eviction_policy).startswith("volatile-")

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def server_info(database: int = 0) -> Operation[ServerInfo]:
    """Return the operation that asks the server about itself and about one of its databases; two commands."""

    def parse(replies: list[Any]) -> ServerInfo:
        info, keys = checked(replies)
        return read_info(info, keys, database)

    return Operation((("INFO",), ("DBSIZE",)), parse)


def read_info(info: bytes, keys: int, database: int = 0) -> ServerInfo:
    """Return what INFO says, whichever of its fields are there."""
    fields = _fields(info)
    marker, software = next((item for item in _SOFTWARE if item[0] in fields), ("", "Redis"))
    return ServerInfo(
        software=software,
        version=fields.get(marker, ""),
        redis_version=fields.get("redis_version", ""),
        keys=keys,
        keys_with_ttl=_keys_with_ttl(fields, keys, database),
        memory=_number(fields, "total_data_size", "used_memory"),
        max_memory=_number(fields, "max_data_size", "maxmemory"),
        eviction_policy=fields.get("maxmemory_policy"),
        evicted_keys=_number(fields, "evicted_keys"),
        clients=_number(fields, "connected_clients"),
        max_clients=_number(fields, "maxclients"),
        uptime=_number(fields, "uptime_in_seconds"),
    )


def _fields(info: bytes) -> dict[str, str]:
    lines = info.decode("utf-8", "replace").splitlines()
    pairs = (line.partition(":") for line in lines if line and not line.startswith("#"))
    return {name: value.strip() for name, _, value in pairs}


def _number(fields: Mapping[str, str], *names: str) -> int | None:
    """Return the first of these fields that is a number; servers disagree on the names."""
    values = (fields.get(name, "") for name in names)
    return next((int(value) for value in values if value.isdecimal()), None)


def _keys_with_ttl(fields: Mapping[str, str], keys: int, database: int) -> int | None:
    line = fields.get(f"db{database}")
    if line is None:
        return 0 if keys == 0 else None
    counts = dict(item.split("=", 1) for item in line.split(",") if "=" in item)
    return _number(counts, "expires")
