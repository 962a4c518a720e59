"""Moving in: sessions of another engine go on here, and a logout in between is final."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.test import AsyncClient, Client

from django_upstash.sessions import SessionStore, sessions_for
from django_upstash.sessions.migration import OldEngine
from tests.sessions.conftest import Open

pytestmark = [pytest.mark.matrix, pytest.mark.django_db(transaction=True)]

Configure = Callable[..., None]
ENGINES = [f"django.contrib.sessions.backends.{name}" for name in ("cache", "cached_db", "db")]


@pytest.fixture(params=["native"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, configure: Configure) -> str:
    configure(MOVE_FROM=request.param)
    return str(request.param)


def in_old(engine: str, session_key: str | None = None) -> Any:
    return import_module(engine).SessionStore(session_key)


@pytest.fixture
def old(engine: str) -> Any:
    """A session stored by the old engine."""
    session = in_old(engine)
    session["a"] = 1
    session.save()
    return session


def test_session__moves_under_its_id(engine: str, old: Any, open_session: Open, bystander: Any) -> None:
    session = open_session(old.session_key)
    assert session["a"] == 1
    assert session.session_key == old.session_key
    assert bystander.dbsize() == 1
    assert not in_old(engine).exists(old.session_key)
    session["b"] = 2
    session.save()
    assert dict(open_session(old.session_key).items()) == {"a": 1, "b": 2}


def test_session__that_exists_in_neither(engine: str, open_session: Open, bystander: Any) -> None:
    session = open_session("0" * 32)
    assert session.load() == {}
    assert session.session_key is None
    assert bystander.dbsize() == 0


def test_exists__in_either(engine: str, old: Any, open_session: Open) -> None:
    assert open_session().exists(old.session_key)
    open_session(old.session_key).load()
    assert open_session().exists(old.session_key)
    assert not open_session().exists("0" * 32)


@pytest.mark.parametrize("is_read", [True, False])
def test_logout__deletes_both(engine: str, old: Any, open_session: Open, is_read: bool) -> None:
    session = open_session(old.session_key)
    if is_read:
        assert session["a"] == 1
    session.flush()
    assert not in_old(engine).exists(old.session_key)
    assert open_session(old.session_key).load() == {}


def test_login__leaves_the_old_id_nowhere(engine: str, old: Any, open_session: Open) -> None:
    session = open_session(old.session_key)
    session.get("a")
    session.cycle_key()
    session.save()
    assert not in_old(engine).exists(old.session_key)
    assert open_session(old.session_key).load() == {}
    assert open_session(session.session_key)["a"] == 1


class Interrupted(SessionStore):
    """A session whose moving is interrupted before its so manieth step."""

    step = 0
    interruption: Callable[[], Any]

    def _load(self) -> Any:
        flow = super()._load()
        outcome, place = None, 0
        while True:
            try:
                effect = flow.send(outcome)
            except StopIteration as done:
                return done.value
            if place == self.step:
                type(self).interruption()
            place += 1
            outcome = yield effect

    def load(self) -> dict[str, Any]:
        from django_upstash.operations.steps import drive

        return drive(self._load())


@pytest.mark.parametrize("driver", ["sync"])
@pytest.mark.parametrize("step", range(7))
def test_logout__is_final_at_every_step_of_the_moving(engine: str, old: Any, open_session: Open, step: int) -> None:
    def log_out() -> None:
        leaving = SessionStore(old.session_key)
        leaving.flush()

    session = type("Late", (Interrupted,), {"step": step, "interruption": staticmethod(log_out)})(old.session_key)
    session.load()
    was_interrupted = not SessionStore().exists(old.session_key)
    assert was_interrupted or step >= 6
    assert not in_old(engine).exists(old.session_key)
    if was_interrupted:
        assert SessionStore(old.session_key).load() == {}


@pytest.mark.parametrize("driver", ["sync"])
@pytest.mark.parametrize("engine", [ENGINES[1]], indirect=True)
def test_logout__is_final_where_a_late_reader_refills_the_old_cache(engine: str, old: Any, open_session: Open) -> None:
    def log_out() -> None:
        data = in_old(engine, old.session_key).load()
        SessionStore(old.session_key).flush()
        caches["default"].set(old.cache_key, data)

    session = type("Late", (Interrupted,), {"step": 2, "interruption": staticmethod(log_out)})(old.session_key)
    session.load()
    assert not SessionStore().exists(old.session_key)
    assert SessionStore(old.session_key).load() == {}
    assert caches["default"].get(old.cache_key) is None


@pytest.mark.parametrize("driver", ["sync"])
@pytest.mark.parametrize("step", range(6))
def test_session__moved_by_another_request_meanwhile(engine: str, old: Any, open_session: Open, step: int) -> None:
    def move() -> None:
        SessionStore(old.session_key).load()

    session = type("Late", (Interrupted,), {"step": step, "interruption": staticmethod(move)})(old.session_key)
    session.load()
    assert dict(SessionStore(old.session_key).items()) == {"a": 1}


def test_old_engine__has_both_twins(engine: str, old: Any, runner: Any) -> None:
    assert OldEngine(engine, old.session_key).load().do() == {"a": 1}
    assert runner.run(OldEngine(engine, old.session_key).exists().ado()) is True


@pytest.mark.parametrize("driver", ["sync", "async"])
def test_site__changes_its_engine_and_nobody_is_logged_out(
    settings: Any, configure: Configure, driver: str, runner: Any, engine: str
) -> None:
    settings.SESSION_ENGINE = engine
    user = User.objects.create_superuser("someone", password="password")
    client = Client()
    client.force_login(user)

    settings.SESSION_ENGINE = "django_upstash.sessions"
    configure(MOVE_FROM=engine, INDEX=True)
    if driver == "sync":
        assert client.get("/admin/").status_code == 200
        assert client.get("/admin/").status_code == 200
    else:
        async_client = AsyncClient()
        async_client.cookies = client.cookies
        assert runner.run(async_client.get("/admin/")).status_code == 200
    assert len(sessions_for(user)) == 1
    configure(INDEX=True)
    assert client.get("/admin/").status_code == 200
    client.logout()
    assert client.get("/admin/").status_code == 302
