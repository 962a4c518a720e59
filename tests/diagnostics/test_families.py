from __future__ import annotations

import pytest

from django_upstash.diagnostics.key_groups import NO_FAMILY, Families


@pytest.mark.parametrize(
    ("name", "family"),
    [
        (b":1:page", ":1:"),
        (b":12:a:b", ":12:"),
        (b"shop:1:page", "shop:1:"),
        (b"shop:basket", "shop:"),
        (b"user:1:name", "user:"),
        (b"session:k3j4h5g6", "session:"),
        (b"@upstash/ratelimit:anna:28", "@upstash/ratelimit:"),
        (b"celery-task-meta-550e8400-e29b-41d4-a716-446655440000", "celery-task-meta-"),
        (b"throttle_anon_127.0.0.1", "throttle_anon_"),
        (b"report.2026", "report."),
        (b"queue", NO_FAMILY),
        (b"", NO_FAMILY),
        (b"\xff\xfe:x", "\\xff\\xfe:"),
    ],
)
def test_families__by_what_keys_begin_with(name: bytes, family: str) -> None:
    assert Families(["shop"])(name) == family


@pytest.mark.parametrize(
    ("name", "family"),
    [
        (b"550e8400-e29b-41d4-a716-446655440000:profile", "*:"),
        (b"k3j4h5g6f7d8s9a0k3j4h5g6:data", "*:"),
        (b"user1234:name", "user*:"),
        (b"tenant-550e8400-e29b-41d4-a716-446655440000:a", "tenant-*:"),
        (b"v1:a", "v1:"),
        (b"an_application_of_ours:a", "an_application_of_ours:"),
        (b"k3j4h5g6f7d8s9a0k3j4h5g6", NO_FAMILY),
    ],
)
def test_families__show_no_identifier(name: bytes, family: str) -> None:
    assert Families()(name) == family


def test_families__are_cut() -> None:
    assert len(Families()(b"x" * 500 + b":1")) == 80
