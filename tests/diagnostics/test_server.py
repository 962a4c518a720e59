from __future__ import annotations

from django_upstash.connections import Connection
from django_upstash.diagnostics.server import read_info, server_info
from django_upstash.operations import command

UPSTASH = b"""# Server\r
upstash_version:1.13.3\r
redis_version:8.2.0\r
# Memory\r
maxmemory_policy:noeviction\r
total_data_size:52428800\r
max_data_size:268435456\r
# Keyspace\r
db0:keys=120,expires=80,avg_ttl=0\r
"""


def test_read_info__of_upstash() -> None:
    info = read_info(UPSTASH, 120)
    assert (info.name, info.redis_version) == ("Upstash 1.13.3", "8.2.0")
    assert (info.memory, info.max_memory, info.eviction_policy) == (52428800, 268435456, "noeviction")
    assert (info.keys, info.keys_without_ttl) == (120, 40)
    assert (info.clients, info.uptime) == (None, None)


def test_read_info__of_redis() -> None:
    assert read_info(b"redis_version:7.0.15\r\nused_memory:1000\r\nmaxmemory:0\r\n", 0).name == "Redis 7.0.15"


def test_read_info__of_a_server_that_says_nothing() -> None:
    info = read_info(b"", 5)
    assert (info.name, info.keys, info.keys_without_ttl) == ("Redis", 5, None)


def test_read_info__with_values_that_are_none() -> None:
    info = read_info(b"redis_version:\r\nused_memory:many\r\nmaxclients:-1\r\ndb0:keys\r\nno colon\xff\r\n", 1)
    assert (info.name, info.memory, info.max_clients, info.keys_with_ttl) == ("Redis", None, None, None)


def test_server_info__tells_the_servers_apart(connection: Connection) -> None:
    connection.run(command("SET", "a", 1))
    connection.run(command("SET", "b", 1, "EX", 100))
    info = connection.run(server_info())
    assert info.software == ("Upstash" if connection.settings.route == "rest" else "Valkey")
    assert info.redis_version
    assert (info.keys, info.keys_without_ttl) == (2, 1)
