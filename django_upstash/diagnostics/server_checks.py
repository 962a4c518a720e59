"""What `redis_health` says of the server itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_upstash.diagnostics.eviction import endangered
from django_upstash.diagnostics.formatting import counted, duration, size
from django_upstash.diagnostics.probe import Probe
from django_upstash.diagnostics.report import CheckResult, Status
from django_upstash.diagnostics.server import ServerInfo
from django_upstash.diagnostics.state import WAY_OUT

if TYPE_CHECKING:
    pass


NEARLY_FULL = 0.9


def introduction(info: ServerInfo) -> str:
    speaks = f", speaks Redis {info.redis_version}" if info.software != "Redis" and info.redis_version else ""
    up = f", up {duration(info.uptime)}" if info.uptime else ""
    return f"{info.name}{speaks}{up}"


def memory(probe: Probe, info: ServerInfo) -> CheckResult:
    if info.memory is None:
        return probe.ok("not told")
    if not info.max_memory:
        return probe.ok(f"{size(info.memory)}, no limit")
    message = f"{size(info.memory)} of {size(info.max_memory)}"
    if info.memory < NEARLY_FULL * info.max_memory:
        return probe.ok(message)
    return probe.result(Status.WARN, f"Nearly full: {message}.", "Delete keys, give them lifetimes, or enlarge it.")


def eviction(probe: Probe, info: ServerInfo) -> CheckResult:
    policy = info.eviction_policy or "not told"
    kept = endangered(probe.connection, info)
    if kept:
        evicted = f"has evicted {counted(info.evicted_keys, 'key')}" if info.evicted_keys else "evicts when it is full"
        message = f"{policy} {evicted}, and the database holds what must not go: {', '.join(kept)}."
        return probe.result(Status.WARN, message, WAY_OUT)
    if policy.startswith("allkeys") and info.evicted_keys:
        message = f"{policy} has evicted {counted(info.evicted_keys, 'key')}, whether they were cached or sessions."
        return probe.result(Status.WARN, message, "Enlarge the memory, or choose a volatile-* policy.")
    return probe.ok(f"{policy}, {counted(info.evicted_keys, 'key')} evicted" if info.evicted_keys else policy)


def keys(probe: Probe, info: ServerInfo) -> CheckResult:
    without = info.keys_without_ttl
    return probe.ok(counted(info.keys, "key") + ("" if without is None else f", {without:,} without TTL"))


def connections(probe: Probe, info: ServerInfo) -> CheckResult:
    opened = probe.connection.route.open_connections
    message = f"{opened} of {probe.settings.max_connections} in this process"
    if info.clients is not None:
        limit = f" of {info.max_clients:,}" if info.max_clients else ""
        message += f", {info.clients:,}{limit} at the server"
    if info.clients and info.max_clients and info.clients >= NEARLY_FULL * info.max_clients:
        next_step = "Lower MAX_CONNECTIONS or the number of processes, or use REST (https://)."
        return probe.result(Status.WARN, f"Nearly all are taken: {message}.", next_step)
    return probe.ok(message)
