from __future__ import annotations

import base64
import pickle
import zlib

import pytest

from django_upstash.codecs import signed_codec
from django_upstash.diagnostics.preview import BEGINNING, is_secret, preview


def shown(value: bytes, *, is_masked: bool = False) -> str:
    return preview(value[:BEGINNING], len(value), is_masked=is_masked)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"hello", "hello"),
        (b"-5", "-5"),
        (b"", ""),
        ("déjà vu ✓".encode(), "déjà vu ✓"),
        (b"a\x1b[31mb\r\nc\x00", "a\\x1b[31mb\\r\\nc\\x00"),
        ("a\u202eb\u200bc".encode(), "a\\u202eb\\u200bc"),
        (b"\xff\xfe\x00", "binary, 3 B"),
        (b"\xf9\x01" + b"x" * 40, "signed pickle, 42 B"),
        (b"\xf9\x02" + b"x" * 40, "signed pickle, compressed, 42 B"),
        (b"~b64:" + base64.b64encode(b"\xf9\x01" + b"x" * 40), "signed pickle, as text, 61 B"),
        (b"~b64:" + base64.b64encode(b"\xff\x00"), "binary, as text, 9 B"),
        (b"~b64:!", "binary, as text, 6 B"),
        (zlib.compress(b"x"), "zlib-compressed, 9 B"),
        (pickle.dumps({"a": 1}), "pickle (unsigned), 21 B"),
        (b"\x1f\x8b\x08", "gzip-compressed, 3 B"),
    ],
)
def test_preview__says_what_a_value_is(value: bytes, said: str) -> None:
    assert shown(value) == said


def test_preview__knows_what_the_codec_writes() -> None:
    class Pickle:
        dumps = staticmethod(pickle.dumps)
        loads = staticmethod(pickle.loads)

    codec = signed_codec(Pickle(), None, ["secret"], "")
    stored = codec.dumps({"a": 1}, b"key")
    assert shown(stored).startswith("signed pickle, ")
    assert shown(codec.text_safe().dumps({"a": 1}, b"key").as_text().encode()).startswith("signed pickle, as text, ")  # type: ignore[attr-defined]
    assert shown(codec.dumps(-5, b"key")) == "-5"


def test_preview__cuts_what_is_long() -> None:
    said = shown(b"x" * 100_000)
    assert said == "x" * 119 + "… (98 K)"


def test_preview__cuts_between_characters() -> None:
    assert shown(b"x" + "é".encode() * 1000).startswith("xéé")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('{"user": "ann", "password": "hunter2"}', '{"user": "ann", "password": ••••}'),
        ("{'api_key': 'hunter2', 'n': 1}", "{'api_key': ••••, 'n': 1}"),
        ("SECRET_KEY=hunter2&a=1", "SECRET_KEY=••••&a=1"),
        ("redis://ann:hunter2@host/0", "redis://ann:••••@host/0"),
        ("Bearer hunter2", "Bearer ••••"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl!", "••••!"),
        ("-----BEGIN RSA PRIVATE KEY-----\nhunter2", "••••"),
        ('{"author": "ann"}', '{"author": "ann"}'),
    ],
)
def test_preview__masks_secrets_inside(value: str, said: str) -> None:
    assert shown(value.encode()) == said


def test_preview__masks_a_secret_that_the_cut_goes_through() -> None:
    value = b'{"note": "' + b"x" * 200 + b'", "password": "hunter2-hunter2-hunter2-hunter2-hunter2"}'
    assert "hunter2" not in shown(value)


def test_preview__masks_what_its_name_calls_secret() -> None:
    assert shown(b"hunter2", is_masked=True) == "•••• (masked), 7 B"


@pytest.mark.parametrize(
    "name",
    [
        "session:abc",
        ":1:django.contrib.sessions.cacheabc",
        "api-key",
        "PASSWORD",
        "user.token",
        "csrf",
        "oauth:1",
        "jwt",
    ],
)
def test_is_secret__by_name(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", ["page", "author:1", "basket", "user:1:profile"])
def test_is_secret__not_by_name(name: str) -> None:
    assert not is_secret(name)
