"""Bodies: sealed for one key, by one site, and useless to whoever reads or moves them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_upstash.sessions.bodies import Rejected, SessionRecord, SessionSealer
from tests.sessions.conftest import Open

pytestmark = pytest.mark.matrix

KEY, OTHER_KEY = os.urandom(32), os.urandom(32)
RECORD = SessionRecord(
    created=1, saved=2, lifetime=3, ip_address="::1", user_agent='"\n', owner="7", payload=b'{"a":1}'
)
Configure = Callable[..., None]
sealers = pytest.mark.parametrize(
    "sealer", [SessionSealer(["secret"]), SessionSealer(["secret"], [KEY])], ids=["signed", "encrypted"]
)


@sealers
@given(payload=st.binary(), name=st.text(st.characters(codec="utf-8")), agent=st.text(max_size=20))
def test_seal__is_opened(sealer: SessionSealer, payload: bytes, name: str, agent: str) -> None:
    record = SessionRecord(created=1, saved=2, lifetime=3, user_agent=agent, payload=payload)
    body = sealer.seal(name, record)
    assert sealer.open(name, body) == record
    body.decode()  # every body is text, so that it is the same on every route


@sealers
@pytest.mark.parametrize("payload", [b'{"a":1}', b"\x80\x05\xff"])
def test_open__rejects_any_changed_byte(sealer: SessionSealer, payload: bytes) -> None:
    body = sealer.seal("session:1", SessionRecord(payload=payload))
    for place in range(len(body)):
        changed = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        with pytest.raises(Rejected):
            sealer.open("session:1", changed)
    for length in range(len(body)):
        with pytest.raises(Rejected):
            sealer.open("session:1", body[:length])


@sealers
def test_open__rejects_another_name(sealer: SessionSealer) -> None:
    with pytest.raises(Rejected):
        sealer.open("session:2", sealer.seal("session:1", RECORD))


@pytest.mark.parametrize("body", [b"", b".", b"s1", b"s1.", b"b1.x.\xff", b"e1.", b"e1.%%", b"\x80\x04K\x01.", b"{}"])
def test_open__rejects_what_others_wrote(body: bytes) -> None:
    with pytest.raises(Rejected):
        SessionSealer(["secret"], [KEY]).open("session:1", body)


def test_open__after_a_rotation_of_secret_key() -> None:
    body = SessionSealer(["old"]).seal("session:1", RECORD)
    assert SessionSealer(["new", "old"]).open("session:1", body) == RECORD
    with pytest.raises(Rejected, match="SECRET_KEY"):
        SessionSealer(["new"]).open("session:1", body)


def test_open__after_a_rotation_of_encryption_keys() -> None:
    body = SessionSealer(["secret"], [OTHER_KEY]).seal("session:1", RECORD)
    rotating = SessionSealer(["secret"], [KEY, OTHER_KEY])
    assert rotating.open("session:1", body) == RECORD
    rewritten = rotating.seal("session:1", RECORD)
    assert SessionSealer(["secret"], [KEY]).open("session:1", rewritten) == RECORD
    for sealer in (SessionSealer(["secret"], [KEY]), SessionSealer(["secret"])):
        with pytest.raises(Rejected, match="ENCRYPTION_KEYS"):
            sealer.open("session:1", body)


def test_open__of_a_signed_body_when_encryption_was_turned_on() -> None:
    body = SessionSealer(["secret"]).seal("session:1", RECORD)
    assert SessionSealer(["secret"], [KEY]).open("session:1", body) == RECORD


def test_seal__encrypted_never_twice_the_same() -> None:
    sealer = SessionSealer(["secret"], [KEY])
    assert sealer.seal("session:1", RECORD) != sealer.seal("session:1", RECORD)


def dump(bystander: Any) -> dict[bytes, bytes]:
    """Return every key and value there is."""
    kinds = {b"string": bystander.get, b"set": lambda key: b"\n".join(bystander.smembers(key))}
    return {key: kinds[bystander.type(key)](key) for key in bystander.keys("*")}


@pytest.mark.parametrize("keys", [[], [KEY]], ids=["signed", "encrypted"])
def test_dump__has_no_id_that_can_be_replayed(
    configure: Configure, open_session: Open, bystander: Any, keys: list[bytes]
) -> None:
    configure(INDEX=True, ENCRYPTION_KEYS=keys)
    ids = []
    for number in range(5):
        session = open_session()
        session["_auth_user_id"] = str(number)
        session.save()
        ids.append(session.session_key)
    everything = b"\n".join(piece for pair in dump(bystander).items() for piece in pair)
    assert not any(session_key.encode() in everything for session_key in ids)
    for word in set(re.findall(rb"[\w+/=-]+", everything)):
        found = open_session(word.decode())
        assert found.get("_auth_user_id") is None


def test_dump__shows_nothing_of_an_encrypted_body(configure: Configure, open_session: Open, bystander: Any) -> None:
    configure(ENCRYPTION_KEYS=[KEY])
    session = open_session()
    session["_auth_user_id"], session["word"] = "7", "very-secret"
    session.save()
    (body,) = dump(bystander).values()
    assert b"secret" not in body
    assert SessionSealer(["only for the tests"], [KEY]).open(name_of(session), body).payload != b""
    with pytest.raises(Rejected):
        SessionSealer(["only for the tests"], [OTHER_KEY]).open(name_of(session), body)


def name_of(session: Any) -> str:
    return f"session:{sha256(session.session_key.encode()).hexdigest()}"


@pytest.mark.parametrize("keys", [[], [KEY]], ids=["signed", "encrypted"])
def test_body__moved_to_an_id_of_the_attackers_is_no_session(
    configure: Configure,
    open_session: Open,
    bystander: Any,
    caplog: pytest.LogCaptureFixture,
    keys: list[bytes],
) -> None:
    configure(ENCRYPTION_KEYS=keys)
    session = open_session()
    session["_auth_user_id"] = "1"
    session.save()
    chosen = open_session("0123456789abcdefghijklmnopqrstuv")
    bystander.copy(name_of(session), name_of(chosen))

    assert chosen.get("_auth_user_id") is None
    assert chosen.session_key is None
    assert [record.name for record in caplog.records] == ["django.security.SuspiciousSession"]
    assert session.session_key not in caplog.text


FOREIGN = [b"", b"{}", b"\x80\x04\x95", b"s1.x.y", b"e1.AAAA", b'{"_auth_user_id": 1}', b"\xff" * 100]


@pytest.mark.parametrize("foreign", FOREIGN)
def test_body__of_others_is_an_empty_session_and_a_log_line(
    session: Any, open_session: Open, bystander: Any, caplog: pytest.LogCaptureFixture, foreign: bytes
) -> None:
    session["a"] = 1
    session.save()
    bystander.set(name_of(session), foreign)
    again = open_session(session.session_key)
    assert again.get("a") is None
    assert again.is_empty()
    assert [record.name for record in caplog.records] == ["django.security.SuspiciousSession"]


def test_body__of_another_type_is_an_empty_session(
    session: Any, open_session: Open, bystander: Any, caplog: pytest.LogCaptureFixture
) -> None:
    session.save()
    bystander.delete(name_of(session))
    bystander.lpush(name_of(session), "item")
    again = open_session(session.session_key)
    assert again.load() == {}
    assert again.is_empty()
    assert [record.name for record in caplog.records] == ["django.security.SuspiciousSession"]


def test_body__that_the_serializer_cannot_read(
    session: Any, open_session: Open, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    session["a"] = 1
    session.save()
    settings.SESSION_SERIALIZER = "tests.sessions.serializers.PickleSerializer"
    again = open_session(session.session_key)
    assert again.get("a") is None
    assert "UnpicklingError" in caplog.text


@pytest.mark.parametrize("keys", [[], [KEY]], ids=["signed", "encrypted"])
def test_serializer__is_djangos_setting(
    configure: Configure, open_session: Open, settings: Any, keys: list[bytes]
) -> None:
    configure(ENCRYPTION_KEYS=keys)
    settings.SESSION_SERIALIZER = "tests.sessions.serializers.PickleSerializer"
    session = open_session()
    session["a"] = {(1, 2): b"\xff\x00"}
    session.save()
    assert open_session(session.session_key)["a"] == {(1, 2): b"\xff\x00"}


def test_rotation__old_sessions_are_read_and_written_with_the_new_key(
    configure: Configure, open_session: Open, caplog: pytest.LogCaptureFixture
) -> None:
    configure(ENCRYPTION_KEYS=[OTHER_KEY.hex()])
    first, second = open_session(), open_session()
    for session in (first, second):
        session["a"] = 1
        session.save()

    configure(ENCRYPTION_KEYS=[KEY, OTHER_KEY])
    again = open_session(first.session_key)
    assert again["a"] == 1
    again["b"] = 2
    again.save()
    assert open_session(second.session_key)["a"] == 1

    configure(ENCRYPTION_KEYS=[KEY])
    assert open_session(first.session_key)["b"] == 2
    assert open_session(second.session_key).get("a") is None
    assert [record.name for record in caplog.records] == ["django.security.SuspiciousSession"]


def test_rotation__of_secret_key(session: Any, open_session: Open, settings: Any) -> None:
    session["a"] = 1
    session.save()
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", [settings.SECRET_KEY]
    assert open_session(session.session_key)["a"] == 1
    settings.SECRET_KEY_FALLBACKS = []
    assert open_session(session.session_key).get("a") is None


def test_routes__read_the_same_bytes(upstash: Any, settings: Any, valkey: Any) -> None:
    from django_upstash.sessions import SessionStore

    settings.SESSION_SERIALIZER = "tests.sessions.serializers.PickleSerializer"
    for keys in ([], [KEY]):
        for writer, reader in (("native", "rest"), ("rest", "native")):
            settings.UPSTASH_SESSIONS = {"ALIAS": writer, "ENCRYPTION_KEYS": keys}
            session = SessionStore()
            session["a"] = b"\xff\x00"
            session.save()
            settings.UPSTASH_SESSIONS = {"ALIAS": reader, "ENCRYPTION_KEYS": keys}
            assert SessionStore(session.session_key)["a"] == b"\xff\x00"
