"""The header: one string of structured fields, read as RFC 8941 writes it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_upstash.idempotency.header import LONGEST, MalformedKey, parse_key

printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=LONGEST)


@settings(max_examples=50, deadline=None)
@given(key=printable)
def test_parse_key__reads_every_string(key: str) -> None:
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_key(f'"{escaped}"') == key
    assert parse_key(f' "{escaped}"; a; b-1=2.5;c="x\\"y"; *d=?1;e=:AAA=:;f=token/1:x ') == key


@settings(max_examples=50, deadline=None)
@given(field=st.text(max_size=300))
def test_parse_key__of_anything(field: str) -> None:
    for accepts_bare in (False, True):
        with suppress(MalformedKey):
            assert 0 < len(parse_key(field, accepts_bare=accepts_bare)) <= LONGEST
            assert accepts_bare or field.strip(" \t").startswith('"')


@pytest.mark.parametrize(
    "field",
    [
        *("", " ", '"', '""', "key", "8e03978e-40d5-43dd-bc93-6894a57f9324", "'key'", '"key', 'key"', '"a" "b"'),
        *('"a", "b"', '"a";', '"a";A=1', '"a";b=', '"a\\b"', '"a\tb"', '"é"', '"a"\n', '("a")', "?1", ":AAA=:", "1"),
        *('"' + "x" * (LONGEST + 1) + '"', '"a"' + ";b" * 1000),
    ],
)
def test_parse_key__refuses(field: str) -> None:
    with pytest.raises(MalformedKey):
        parse_key(field)


def test_parse_key__bare() -> None:
    assert parse_key("8e03978e-40d5-43dd", accepts_bare=True) == "8e03978e-40d5-43dd"
    assert parse_key('"8e03978e"', accepts_bare=True) == "8e03978e"
    for field in ("", "a b", "a,b", "a;b", '"a', "x" * (LONGEST + 1)):
        with pytest.raises(MalformedKey):
            parse_key(field, accepts_bare=True)
