"""
What a client, an operator or somebody with write access to the database may type, and nobody expects.

One list for all tests: each value has a name, which is the id of its case in a parametrised test.

    @pytest.mark.parametrize("text", hostile.texts())
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

HUGE = 100_000

CONTROLS: Mapping[str, str] = {
    "line_feed": "a\nERROR root logged in",
    "carriage_return": "a\rERROR root logged in",
    "both": "a\r\nSet-Cookie: a=b",
    "escape": "a\x1b[2J\x1b]0;title\x07",
    "c1_escape": "a\x9b2J",
    "next_line": "a\x85b",
    "line_separator": "a\u2028b\u2029c",
    "tabs": "a\tb\x0bc\x0cd",
    "delete": "a\x7f\x08b",
    "nul": "a\x00b",
}
DIRECTIONS: Mapping[str, str] = {
    "override": "a\u202egnp.exe",
    "isolate": "a\u2066b\u2069c",
    "mark": "a\u200fb\u061cc",
    "zero_width": "a\u200bb\ufeffc",
    "tags": "a\U000e0041b",
}
SURROGATES: Mapping[str, str] = {
    "high": "a\ud800b",
    "low": "a\udcffb",
    "swapped": "\udc00\ud800",
}
MARKUP: Mapping[str, str] = {
    "script": "<script>alert(1)</script>",
    "attribute": "\" onmouseover='alert(1)' x=\"",
    "entity": "&lt;b&gt;&amp;&#0;",
    "comment": "--><!-- ]]>",
    "template": "{{ 7|add:7 }}{% debug %}",
    "format": "%s%n%(message)s{0.__class__}{}",
    "formula": "=1+1;@SUM(A1)",
    "sql": "' OR 1=1 --",
    "path": "../../etc/passwd",
    "pattern": "*?[a-z]\\{a,b}",
    "quotes": "\"'`\\",
    "separators": "a:b|c;d,e/f#g%41 h+i",
}
SHAPES: Mapping[str, str] = {
    "empty": "",
    "blank": "   ",
    "huge": "x" * HUGE,
    "huge_lines": "\n" * HUGE,
    "combining": "e" + "\u0301" * 1000,
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈",
    "decomposed": "e\u0301",
    "composed": "\u00e9",
    "noncharacter": "a\uffff\U0010ffffb",
    "digits": "١٢٣²",
    "none": "None",
    "number": "1e999",
    "negative": "-0",
}
TEXTS: Mapping[str, str] = {**CONTROLS, **DIRECTIONS, **SURROGATES, **MARKUP, **SHAPES}

# Bytes that are no UTF-8, as paths, forms and stored data may have.
BYTES: Mapping[str, bytes] = {
    "latin": b"caf\xe9",
    "overlong": b"\xc0\xaf",
    "surrogate": b"\xed\xa0\x80",
    "truncated": b"\xe2\x82",
    "binary": bytes(range(256)),
}

# One client in several spellings: each group is one address, or one network.
SAME_ADDRESSES: Mapping[str, tuple[str, ...]] = {
    "mapped": ("203.0.113.7", "::ffff:203.0.113.7", "::FFFF:203.0.113.7", "::ffff:cb00:7107"),
    "nat64": ("203.0.113.7", "64:ff9b::203.0.113.7", "64:ff9b::cb00:7107"),
    "compressed": ("2001:db8::1", "2001:0db8:0:0:0:0:0:1", "2001:DB8::1"),
}
SAME_NETWORKS: Mapping[str, tuple[str, ...]] = {
    "mapped": ("203.0.113.0/24", "::ffff:203.0.113.0/120"),
    "nat64": ("203.0.113.0/24", "64:ff9b::203.0.113.0/120"),
}
ZONED = ("fe80::1%eth0", "fe80::1%25eth0", "fe80::1%\n", "fe80::1%")
WITH_PORT = ("203.0.113.7:443", "[2001:db8::1]:443", "[2001:db8::1]", "203.0.113.7:", "203.0.113.7:99999")
BROKEN_ADDRESSES: Mapping[str, str] = {
    "octet": "203.0.113.300",
    "short": "203.0.113",
    "long": "203.0.113.7.1",
    "leading_zero": "203.0.113.007",
    "octal": "0313.0.0161.7",
    "hexadecimal": "0xcb007107",
    "integer": "3405803783",
    "mask": "198.51.100.8/33",
    "negative_mask": "198.51.100.8/-1",
    "no_mask": "198.51.100.8/",
    "text_mask": "198.51.100.8/x",
    "holed_mask": "198.51.100.8/255.0.255.0",
    "host_bits": "198.51.100.8/24",
    "mask_of_v6": "2001:db8::/129",
    "two_masks": "198.51.100.0/24/24",
    "colons": "2001:db8:::1",
    "groups": "1:2:3:4:5:6:7:8:9",
    "mapped_octet": "::ffff:203.0.113.300",
    "mapped_mask": "::ffff:203.0.113.0/129",
    "name": "localhost",
    "several": "203.0.113.7, 203.0.113.8",
    "unknown": "unknown",
    "obfuscated": "_hidden",
    "digits": "٢٠٣.0.113.7",
}
ADDRESSES: Mapping[str, str] = {
    **{f"same_{name}_{n}": text for name, group in SAME_ADDRESSES.items() for n, text in enumerate(group)},
    **{f"zone_{n}": text for n, text in enumerate(ZONED)},
    **{f"port_{n}": text for n, text in enumerate(WITH_PORT)},
    **BROKEN_ADDRESSES,
}


def texts(*without: Iterable[str]) -> list[Any]:
    """Return all texts as cases of a parametrised test, but for those of some groups."""
    left_out = {name for group in without for name in group}
    return cases({name: text for name, text in TEXTS.items() if name not in left_out})


def addresses() -> list[Any]:
    """Return all spellings of addresses, the broken ones too, as cases of a parametrised test."""
    return cases(ADDRESSES)


def cases(named: Mapping[str, Any]) -> list[Any]:
    """Return named values as cases of a parametrised test, with their names as ids."""
    return [pytest.param(value, id=name) for name, value in named.items()]
