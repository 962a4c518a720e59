from __future__ import annotations

import pytest

from django_upstash.diagnostics.formatting import counted, duration, escaped, milliseconds, shortened, size, table


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 ms"),
        (0.25, "250 ms"),
        (12, "12 s"),
        (60, "1 min"),
        (61.9, "1 min 1 s"),
        (3600, "1 h"),
        (3601, "1 h"),
        (97_200, "1 d 3 h"),
        (1_209_595, "13 d 23 h"),
    ],
)
def test_duration__has_two_units_at_most(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("value", "said"), [(0.042, "0.04 ms"), (1.26, "1.3 ms"), (9.97, "10 ms"), (38.4, "38 ms"), (1234.5, "1,234 ms")]
)
def test_milliseconds__have_two_or_three_digits(value: float, said: str) -> None:
    assert milliseconds(value) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 K"), (24_600, "24 K"), (5 << 20, "5.0 M"), (1 << 50, "1,024 T")],
)
def test_size__has_a_unit(count: int, said: str) -> None:
    assert size(count) == said


def test_counted__agrees_with_its_noun() -> None:
    assert (counted(0, "key"), counted(1, "key"), counted(1200, "key")) == ("0 keys", "1 key", "1,200 keys")


def test_escaped__shows_what_moves_hides_or_reorders() -> None:
    assert escaped("a\tb\x9b\u202e\udcff é✓") == "a\\tb\\x9b\\u202e\\udcff é✓"


def test_shortened__ends_in_an_ellipsis() -> None:
    assert (shortened("abcdef", 6), shortened("abcdefg", 6)) == ("abcdef", "abcde…")


def test_table__aligns_its_columns() -> None:
    assert table([("NAME", "N"), ("a", "1,000"), ("bcdefg", "2")]) == [
        "NAME         N",
        "a        1,000",
        "bcdefg       2",
    ]
