"""The stored form of values and members: what it is, byte for byte, and what is refused."""

from __future__ import annotations

import base64
import json
import logging
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from django_redis.compressors.identity import IdentityCompressor  # type: ignore[import-untyped]
from django_redis.compressors.zlib import ZlibCompressor  # type: ignore[import-untyped]
from django_redis.serializers.json import JSONSerializer  # type: ignore[import-untyped]
from django_redis.serializers.msgpack import MSGPackSerializer  # type: ignore[import-untyped]
from django_redis.serializers.pickle import PickleSerializer  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from django_upstash import codecs
from django_upstash.codecs import UNREADABLE, Encoded, ValueCodec
from django_upstash.codecs.signing import Signer
from django_upstash.codecs.values import PICKLE
from django_upstash.exceptions import DataError

pytestmark = pytest.mark.matrix

MISS = object()
KEY = b"key"
LONG = "long enough to be worth compressing " * 10

data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=10,
)


class Gadget:
    """What an attacker's pickle would do: run code while it is loaded."""

    ran = False

    def __reduce__(self) -> Any:
        return exec, ("from tests.codecs.test_codecs import Gadget; Gadget.ran = True",)


class Gone:
    """A value of a class that refuses to be made again."""

    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> None:
    raise AttributeError("private")


def signed(
    *secrets: str, prefix: str = "shop", compressor: Any = None, serializer: type[Any] = PickleSerializer
) -> ValueCodec:
    return codecs.signed_codec(serializer({}), compressor and compressor({}), secrets or ("secret",), prefix)


def unsigned(serializer: type[Any] = PickleSerializer, compressor: Any = None) -> ValueCodec:
    return codecs.unsigned_codec(serializer({}), compressor and compressor({}))


CODECS = {
    "signed": signed(),
    "signed and compressed": signed(compressor=ZlibCompressor),
    "pickle": unsigned(),
    "compressed pickle": unsigned(compressor=ZlibCompressor),
}


@pytest.fixture
def warnings_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let reasons be warned about that some other test has caused before."""
    monkeypatch.setattr("django_upstash.codecs.values._reasons_seen", set())


@pytest.fixture
def gadget() -> Iterator[Gadget]:
    """A value whose pickle must never be loaded."""
    Gadget.ran = False
    yield Gadget()
    assert not Gadget.ran


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@given(value=data)
def test_value__comes_back_with_its_type(codec: ValueCodec, value: Any) -> None:
    loaded = codec.loads(codec.dumps(value, KEY), KEY, MISS)
    assert (loaded, type(loaded)) == (value, type(value))


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@given(value=data)
def test_value__comes_back_from_text(codec: ValueCodec, value: Any) -> None:
    stored = codec.text_safe().dumps(value, KEY)
    assert isinstance(stored, Encoded)
    assert stored == codec.dumps(value, KEY)
    loaded = codec.loads(stored.as_text().encode(), KEY, MISS)
    assert (loaded, type(loaded)) == (value, type(value))


@given(noise=st.binary() | st.binary().map(b"\xf9\x01".__add__) | st.binary().map(b"~b64:".__add__))
def test_signed__any_bytes_are_an_int_or_a_miss(noise: bytes) -> None:
    loaded = signed().loads(noise, KEY, MISS)
    assert loaded is MISS or isinstance(loaded, int)


@pytest.mark.parametrize(("value", "stored"), [(0, b"0"), (-5, b"-5"), (2**63 - 1, b"9223372036854775807")])
@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_int__is_plain(codec: ValueCodec, value: int, stored: bytes) -> None:
    assert codec.dumps(value, KEY) == stored


def test_int__beyond_64_bits() -> None:
    assert signed().dumps(2**63, KEY).startswith(b"\xf9\x01")
    assert unsigned().dumps(2**63, KEY) == b"9223372036854775808"


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_int__beyond_what_python_prints(codec: ValueCodec) -> None:
    value = 10**5000
    assert codec.loads(codec.dumps(value, KEY), KEY, MISS) == value


def test_signed__layout() -> None:
    stored = signed().dumps("value", KEY)
    assert stored[:2] == b"\xf9\x01"
    assert stored[18:] == pickle.dumps("value")
    assert signed(compressor=ZlibCompressor).dumps(LONG, KEY)[:2] == b"\xf9\x02"


def test_signed__bytes_stay_what_they_are() -> None:
    # Whoever changes them makes every cached value of every site a miss: on purpose, or not at all.
    stored = Signer(["secret"], "shop", PICKLE).sign(b"payload", b"key")
    assert stored.hex() == "f90123abdc913612089cbe53031061b6456a" + b"payload".hex()


@pytest.mark.parametrize(
    "reader",
    [signed("other"), signed(prefix="shop:"), signed(prefix=""), signed("other", "another")],
    ids=["secret", "longer prefix", "no prefix", "secrets"],
)
def test_signed__by_another_site_is_a_miss(reader: ValueCodec) -> None:
    assert reader.loads(signed().dumps("value", KEY), KEY, MISS) is MISS


@given(place=st.integers(min_value=0), bit=st.integers(0, 7))
@pytest.mark.parametrize("codec", [signed(), signed(compressor=ZlibCompressor)], ids=["plain", "compressed"])
def test_signed__any_changed_bit_is_a_miss(codec: ValueCodec, place: int, bit: int) -> None:
    stored = bytearray(codec.dumps(["value", LONG], KEY))
    stored[place % len(stored)] ^= 1 << bit
    assert codec.loads(bytes(stored), KEY, MISS) is MISS


@pytest.mark.parametrize("codec", [signed(), signed(compressor=ZlibCompressor)], ids=["plain", "compressed"])
def test_signed__any_truncation_is_a_miss(codec: ValueCodec) -> None:
    stored = codec.dumps(LONG, KEY)
    assert all(codec.loads(stored[:length], KEY, MISS) is MISS for length in range(len(stored)))
    assert codec.loads(stored + b"x", KEY, MISS) is MISS


@given(key=st.binary(), other=st.binary())
def test_signed__is_a_value_only_under_its_key(key: bytes, other: bytes) -> None:
    loaded = signed().loads(signed().dumps("value", key), other, MISS)
    assert loaded == "value" if key == other else loaded is MISS


def test_signed__prefix_and_key_do_not_run_into_each_other() -> None:
    stored = signed(prefix="a").dumps("value", b"bc")
    assert signed(prefix="ab").loads(stored, b"c", MISS) is MISS


def test_signed__fallback_secrets_verify_and_never_sign() -> None:
    old, new = signed("old"), signed("new", "old")
    assert new.loads(old.dumps("value", KEY), KEY, MISS) == "value"
    assert new.dumps("value", KEY) == signed("new").dumps("value", KEY)
    assert old.loads(new.dumps("value", KEY), KEY, MISS) is MISS
    compressed = signed("old", compressor=ZlibCompressor).dumps(LONG, KEY)
    assert signed("new", "old", compressor=ZlibCompressor).loads(compressed, KEY, MISS) == LONG


def test_signed__secret_as_bytes_is_the_same_secret() -> None:
    reader = codecs.signed_codec(PickleSerializer({}), None, [b"secret"], "shop")
    assert reader.loads(signed().dumps("value", KEY), KEY, MISS) == "value"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_signed__unsigned_pickle_is_never_loaded(gadget: Gadget, protocol: int) -> None:
    payload = pickle.dumps(gadget, protocol)
    forms = [
        *(payload, codecs.text.marked(payload), b"\xf9\x01" + payload, b"\xf9\x01" + bytes(16) + payload),
        *(ZlibCompressor({}).compress(payload), b"\xf9\x02" + bytes(16) + ZlibCompressor({}).compress(payload)),
        *(signed("attacker").dumps(gadget, KEY), signed("attacker").text_safe().dumps(gadget, KEY)),
        *(signed().dumps(gadget, b"other key"), signed(prefix="other").dumps(gadget, KEY)),
    ]
    for codec in (signed(), signed("new", "secret"), signed(compressor=ZlibCompressor)):
        assert [codec.loads(bytes(form), KEY, MISS) for form in forms] == [MISS] * len(forms)


def test_signed__what_cannot_be_made_again_is_a_miss() -> None:
    assert signed().loads(signed().dumps(Gone(), KEY), KEY, MISS) is MISS


def test_miss__is_logged_without_contents(warnings_anew: None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "django_upstash.codecs")
    for _ in range(2):
        assert signed().loads(pickle.dumps("private"), b"private key", MISS) is MISS
    assert [record.levelname for record in caplog.records] == ["WARNING", "DEBUG"]
    assert "not signed with this site's SECRET_KEY" in caplog.text
    assert "private" not in caplog.text


def test_miss__of_broken_pickle_names_the_error_only(warnings_anew: None, caplog: pytest.LogCaptureFixture) -> None:
    assert signed().loads(signed().dumps(Gone(), KEY), KEY, MISS) is MISS
    assert "AttributeError" in caplog.text
    assert "private" not in caplog.text


@pytest.mark.parametrize("serializer", [PickleSerializer, JSONSerializer, MSGPackSerializer])
@pytest.mark.parametrize("compressor", [IdentityCompressor, ZlibCompressor])
@pytest.mark.parametrize("value", ["text", LONG, 1.5, True, None, [1, {"a": "é"}]])
def test_unsigned__bytes_are_django_redis_own(serializer: type[Any], compressor: type[Any], value: Any) -> None:
    codec = unsigned(serializer, compressor)
    stored = codec.dumps(value, KEY)
    assert stored == compressor({}).compress(serializer({}).dumps(value))
    assert codec.loads(stored, b"any key", MISS) == value


@pytest.mark.parametrize("codec", [unsigned(JSONSerializer), unsigned(MSGPackSerializer)], ids=["json", "msgpack"])
def test_unsigned__pickle_is_no_json_and_no_msgpack(codec: ValueCodec, gadget: Gadget) -> None:
    assert codec.loads(pickle.dumps(gadget), KEY, MISS) is MISS


def test_unsigned__json_number_that_is_no_int() -> None:
    assert unsigned(JSONSerializer).loads(b"1.5", KEY, MISS) == 1.5
    assert unsigned(JSONSerializer).loads(b"-1e3", KEY, MISS) == -1000.0


class Verbatim:
    """A serializer for bytes, whose output may begin with anything."""

    def __init__(self, options: dict[str, Any]) -> None: ...

    def dumps(self, value: bytes) -> bytes:
        return value

    def loads(self, value: bytes) -> bytes:
        return value


def test_unsigned__value_that_looks_like_marked_text() -> None:
    codec = unsigned(Verbatim)
    for value in (b"~b64:", b"~b64:AAAA", b"~b64:!", b"~b64"):
        assert codec.loads(codec.dumps(value, KEY), KEY, MISS) == value


def test_encoded__text_of_utf8_is_itself() -> None:
    assert Encoded(b'{"a":"\xc3\xa9"}').as_text() == '{"a":"é"}'
    assert Encoded(b"5").as_text() == "5"


def test_encoded__text_of_other_bytes_is_marked_base64() -> None:
    assert Encoded(b"\xf9\x01\xff").as_text() == "~b64:" + base64.b64encode(b"\xf9\x01\xff").decode()


@given(stored=st.binary())
def test_encoded__text_is_read_back(stored: bytes) -> None:
    if not stored.startswith(b"~b64:"):
        assert codecs.text.unmarked(Encoded(stored).as_text().encode()) == stored


@pytest.mark.parametrize("damaged", [b"~b64:A", b"~b64:+WFi\n", b"~b64:-_-_", b"~b64:\xff"])
def test_marked_text__damaged_is_a_miss(damaged: bytes) -> None:
    assert signed().loads(damaged, KEY, MISS) is MISS
    with pytest.raises(ValueError, match=r"base64|ASCII"):
        codecs.text.unmarked(damaged)


members = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner).map(tuple),
    max_leaves=8,
)


@given(member=members)
def test_member__comes_back_with_its_type(member: Any) -> None:
    stored = codecs.encode_member(member)
    assert json.loads(stored) is not UNREADABLE
    loaded = codecs.decode_member(stored)
    assert (loaded, type(loaded)) == (member, type(member))


@given(value=st.recursive(members, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))
def test_field__comes_back_as_json_has_it(value: Any) -> None:
    assert codecs.decode_field(codecs.encode_field(value)) == json.loads(json.dumps(value))


def test_member__bytes() -> None:
    assert codecs.encode_member("é") == '"é"'.encode()
    assert codecs.encode_member(-7) == b"-7"
    assert codecs.encode_member(("a", 1)) == b'["a",1]'
    assert codecs.encode_field({"b": 1, "a": 2}) == codecs.encode_field({"a": 2, "b": 1}) == b'{"a":2,"b":1}'


@pytest.mark.parametrize("value", [b"bytes", {1}, object(), 1j, ("nested", b"bytes"), JSONSerializer])
def test_member__what_json_has_not_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError, match=r"not (bytes|set|object|complex|type)"):
        codecs.encode_member(value)


@pytest.mark.parametrize("value", [{"a": 1}, ["x", {"a": 1}]])
def test_member__dict_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError, match="dict"):
        codecs.encode_member(value)
    assert codecs.decode_member(codecs.encode_field(value)) is UNREADABLE


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_member__no_json_number(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        codecs.encode_member(value)


def test_member__lone_surrogate() -> None:
    with pytest.raises(DataError, match="lone surrogate"):
        codecs.encode_member("\udc80")


@pytest.mark.parametrize(
    "stored", [b"", b"\xff", b"NaN", b"Infinity", b"{", b"x", b"1 2", b"[" * 100_000, b"9" * 10_000, b'"\x00"']
)
def test_member__that_is_no_json_is_unreadable(stored: bytes) -> None:
    assert codecs.decode_member(stored) is UNREADABLE
    assert codecs.decode_field(stored) is UNREADABLE


def test_member__pickle_is_never_loaded(gadget: Gadget) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert codecs.decode_member(pickle.dumps(gadget, protocol)) is UNREADABLE
        assert codecs.decode_field(pickle.dumps(gadget, protocol)) is UNREADABLE
