"""What Django promises of a session, of this engine: on every route, synchronously and asynchronously."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.sessions.backends.base import VALID_KEY_CHARS, CreateError, SessionBase, UpdateError
from django.utils import timezone

from tests.sessions.conftest import Open

pytestmark = pytest.mark.matrix


def stored(session: Any, open_session: Open) -> Any:
    """Return the session as the next request opens it."""
    return open_session(session.session_key)


def test_engine__is_a_session(session: Any) -> None:
    assert isinstance(getattr(session, "session", session), SessionBase)
    assert (session.modified, session.accessed, session.session_key) == (False, False, None)
    assert session.is_empty()


def test_get__of_nothing(session: Any) -> None:
    assert session.get("cat") is None
    assert session.get("cat", "dog") == "dog"
    assert "cat" not in session


def test_set__modifies(session: Any) -> None:
    session["cat"] = "dog"
    assert session.modified is True
    assert session.pop("cat") == "dog"


def test_pop(session: Any) -> None:
    session["some key"] = "exists"
    session.accessed = session.modified = False
    assert session.pop("some key") == "exists"
    assert (session.accessed, session.modified) == (True, True)
    assert session.get("some key") is None


def test_pop__default(session: Any) -> None:
    assert session.pop("some key", "does not exist") == "does not exist"
    assert session.pop("some key", default=None) is None
    assert (session.accessed, session.modified) == (True, False)


def test_pop__missing(session: Any) -> None:
    with pytest.raises(KeyError):
        session.pop("some key")


def test_setdefault(session: Any) -> None:
    assert session.setdefault("foo", "bar") == "bar"
    assert session.setdefault("foo", "baz") == "bar"
    assert (session.accessed, session.modified) == (True, True)


def test_update(session: Any) -> None:
    session.update({"update key": 1})
    assert (session.accessed, session.modified) == (True, True)
    assert session.get("update key") == 1


@pytest.mark.parametrize(("view", "items"), [("keys", ["x"]), ("values", [1]), ("items", [("x", 1)])])
def test_views__access_and_do_not_modify(session: Any, view: str, items: list[Any]) -> None:
    session["x"] = 1
    session.modified = session.accessed = False
    assert list(getattr(session, view)()) == items
    assert (session.accessed, session.modified) == (True, False)


def test_clear(session: Any) -> None:
    session["x"] = 1
    session.modified = session.accessed = False
    session.clear()
    assert list(session.items()) == []
    assert (session.accessed, session.modified) == (True, True)


def test_test_cookie(session: Any) -> None:
    assert session.test_cookie_worked() is False
    session.set_test_cookie()
    assert session.test_cookie_worked() is True
    session.delete_test_cookie()
    assert session.test_cookie_worked() is False


def test_save__is_read_by_the_next_request(session: Any, open_session: Open) -> None:
    session["text"], session["nested"] = "hüte", {"a": [1, None, True, 2.5, {"b": "\x00\n."}]}
    session.save()
    assert session.exists(session.session_key)
    assert dict(stored(session, open_session).items()) == dict(session.items())


def test_save__of_nested_changes_that_do_not_set_modified(session: Any, open_session: Open) -> None:
    session["cart"] = {"apples": 1}
    session.save()
    again = stored(session, open_session)
    again["cart"]["apples"] = 2
    assert again.modified is False
    again.save()
    assert stored(session, open_session)["cart"] == {"apples": 2}


def test_create__makes_ids_like_djangos(session: Any) -> None:
    made = set()
    for _ in range(20):
        session.create()
        made.add(session.session_key)
    assert len(made) == 20
    assert {len(key) for key in made} == {32}
    assert set("".join(made)) <= set(VALID_KEY_CHARS)


def test_create__stores_at_once_what_there_is(session: Any, open_session: Open) -> None:
    session["a"] = 1
    session.create()
    assert session.modified is True
    assert stored(session, open_session)["a"] == 1


def test_create__gives_a_new_id_each_time(session: Any) -> None:
    session.create()
    first = session.session_key
    session.create()
    assert session.session_key not in {None, first}


def test_save__must_create(session: Any, open_session: Open) -> None:
    session.save()
    with pytest.raises(CreateError):
        open_session(session.session_key).save(must_create=True)


def test_delete(session: Any) -> None:
    session.save()
    session.delete(session.session_key)
    assert not session.exists(session.session_key)


def test_delete__own(session: Any) -> None:
    session.delete()  # nothing is stored
    session.save()
    session.delete()
    assert not session.exists(session.session_key)


@pytest.mark.parametrize("nothing", ["", None])
def test_exists__nothing(session: Any, nothing: str | None) -> None:
    assert session.exists(nothing) is False


def test_flush(session: Any, open_session: Open) -> None:
    session["foo"] = "bar"
    session.save()
    before = session.session_key
    session.flush()
    assert not session.exists(before)
    assert session.session_key is None
    assert (session.modified, session.accessed) == (True, True)
    assert session.is_empty()


def test_cycle_key(session: Any, open_session: Open) -> None:
    session["a"], session["b"] = "c", "d"
    session.save()
    before, data = session.session_key, dict(session.items())
    session.cycle_key()
    assert session.session_key != before
    assert session.modified is True
    assert dict(session.items()) == data
    assert not session.exists(before)
    session.save()
    assert dict(stored(session, open_session).items()) == data


def test_cycle_key__of_a_session_not_read_yet(session: Any, open_session: Open) -> None:
    session["a"] = "c"
    session.save()
    again = stored(session, open_session)
    again.cycle_key()
    again.save()
    assert stored(again, open_session)["a"] == "c"


def test_cycle_key__of_a_new_session(session: Any, open_session: Open) -> None:
    session.cycle_key()
    first = session.session_key
    session.cycle_key()
    session["a"] = 1
    session.save()
    assert session.session_key not in {None, first}
    assert stored(session, open_session)["a"] == 1


@pytest.mark.parametrize("key", ["1", "", "1234567"])
def test_key__that_is_too_short_is_none(open_session: Open, key: str) -> None:
    session = open_session(key)
    before = session.session_key
    session.save()
    assert before is None
    assert session.session_key not in {None, key}
    assert session.get("cat") is None
    session.delete(key)


def test_key__that_was_made_up_gets_a_new_one(open_session: Open) -> None:
    session = open_session("attackerschoice0123456789abcdefgh")
    assert session.get("a") is None
    assert session.session_key is None
    session["a"] = 1
    session.save()
    assert session.session_key not in {None, "attackerschoice0123456789abcdefgh"}


@pytest.mark.parametrize("key", ["x" * 100_000, "ein schlüssel", "\ud800" * 8, "a\x00b\r\nc d*e", "../../../etc"])
def test_key__of_any_text_is_read(open_session: Open, key: str) -> None:
    assert open_session(key).load() == {}


def test_key__is_read_only(session: Any) -> None:
    with pytest.raises(AttributeError):
        getattr(session, "session", session).session_key = "x" * 32


def test_load__creates_nothing(open_session: Open, bystander: Any) -> None:
    session = open_session("someunknownkey")
    assert session.load() == {}
    assert session.session_key is None
    assert not session.exists("someunknownkey")
    assert bystander.dbsize() == 0


def test_save__does_not_bring_back_a_session_that_was_logged_out(session: Any, open_session: Open) -> None:
    session["x"] = 1
    session.save()
    other = stored(session, open_session)
    assert other["x"] == 1
    session.flush()
    other["x"] = 2
    with pytest.raises(UpdateError):
        other.save()
    assert not session.exists(other.session_key)


def test_save__of_cleared_data(session: Any, open_session: Open) -> None:
    session["x"] = 1
    session.save()
    again = stored(session, open_session)
    again.clear()
    again.save()
    assert dict(stored(session, open_session).items()) == {}


def test_expiry__default(session: Any) -> None:
    assert session.get_expiry_age() == django_settings.SESSION_COOKIE_AGE
    session.set_expiry(0)
    assert session.get_expiry_age() == django_settings.SESSION_COOKIE_AGE
    assert session.get_expire_at_browser_close() is True


@pytest.mark.parametrize("kind", ["seconds", "timedelta", "datetime"])
def test_expiry__custom(session: Any, open_session: Open, bystander: Any, kind: str) -> None:
    modification = timezone.now()
    expiry = {"seconds": 10, "timedelta": timedelta(seconds=10), "datetime": modification + timedelta(seconds=10)}[kind]
    session.set_expiry(expiry)
    age = session.get_expiry_age(modification=modification)
    assert 10 <= age <= 11
    assert session.get_expiry_date(modification=modification) >= modification + timedelta(seconds=10)
    session.save()
    (name,) = bystander.keys("*")
    assert 0 < bystander.pttl(name) <= 10_000
    assert 9 <= stored(session, open_session).get_expiry_age() <= 10


def test_expiry__reset(session: Any) -> None:
    session.set_expiry(None)
    session.set_expiry(10)
    session.set_expiry(None)
    assert session.get_expiry_age() == django_settings.SESSION_COOKIE_AGE


def test_expiry__at_browser_close(session: Any, settings: Any) -> None:
    for is_default in (False, True):
        settings.SESSION_EXPIRE_AT_BROWSER_CLOSE = is_default
        session.set_expiry(10)
        assert session.get_expire_at_browser_close() is False
        session.set_expiry(0)
        assert session.get_expire_at_browser_close() is True
        session.set_expiry(None)
        assert session.get_expire_at_browser_close() is is_default


@pytest.mark.parametrize("was_stored", [False, True])
def test_expiry__in_the_past_ends_the_session(
    session: Any, open_session: Open, bystander: Any, was_stored: bool
) -> None:
    session["foo"] = "bar"
    if was_stored:
        session.save()
    session.set_expiry(-timedelta(seconds=10))
    session.save()
    assert "foo" not in stored(session, open_session)
    assert bystander.dbsize() == 0


def test_cookie_age__of_the_settings_is_the_lifetime(session: Any, settings: Any, bystander: Any) -> None:
    settings.SESSION_COOKIE_AGE = 100
    session.save()
    (name,) = bystander.keys("*")
    assert 99_000 < bystander.pttl(name) <= 100_000


def test_encode__is_read_by_decode(session: Any, caplog: pytest.LogCaptureFixture) -> None:
    data = {"a test key": "a test value"}
    assert session.decode(session.encode(data)) == data
    assert session.decode("flaskdj:alkdjf") == {}
    assert [record.name for record in caplog.records] == ["django.security.SuspiciousSession"]


def test_clear_expired__of_no_index(session: Any) -> None:
    session.save()
    session.clear_expired()
    assert session.exists(session.session_key)


@pytest.mark.parametrize("key_prefix", ["", "session", "shop"])
def test_cache_clear__logs_nobody_out(session: Any, open_session: Open, route: str, key_prefix: str) -> None:
    from django_upstash.cache import UpstashCache

    session["a"] = 1
    session.save()
    cache = UpstashCache(route, {"KEY_PREFIX": key_prefix})
    cache.set("value", 1)
    cache.clear()
    assert cache.get("value") is None
    assert stored(session, open_session)["a"] == 1
