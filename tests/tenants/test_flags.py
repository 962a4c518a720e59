"""Flags, switches and samples: waffle's meaning, stable shares, and no commands."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from django_upstash.tenants import (
    Flag,
    Tenant,
    aflag_is_active,
    asample_is_active,
    aswitch_is_active,
    flag_is_active,
    sample_is_active,
    switch_is_active,
    tenant_context,
)
from django_upstash.tenants.flag_rules import flag_from_json
from tests.servers import Server
from tests.tenants.conftest import MakeTenant

pytestmark = pytest.mark.matrix

Counting = Callable[[], Any]


@dataclass
class Person:
    """What flags look at in a user."""

    pk: Any = 1
    is_authenticated: bool = True
    is_staff: bool = False
    is_superuser: bool = False


@pytest.mark.parametrize(
    ("rule", "user", "expected"),
    [
        ({}, Person(), False),
        ({}, None, False),
        ({"everyone": True}, None, True),
        ({"everyone": False, "percent": 100, "authenticated": True}, Person(is_superuser=True), False),
        ({}, Person(is_superuser=True), True),
        ({"superusers": False}, Person(is_superuser=True), False),
        ({"staff": True}, Person(is_staff=True), True),
        ({"staff": True}, Person(), False),
        ({"authenticated": True}, Person(), True),
        ({"authenticated": True}, AnonymousUser(), False),
        ({"users": [7]}, Person(pk=7), True),
        ({"users": ["7"]}, Person(pk=8), False),
        ({"users": ["7"]}, Person(pk=7, is_authenticated=False), False),
        ({"percent": 100}, None, True),
        ({"percent": 0}, Person(), False),
        ({"percent": 99.99}, None, False),
    ],
)
def test_is_active__as_waffle_has_it(make_tenant: MakeTenant, rule: Any, user: Any, expected: bool) -> None:
    flags = make_tenant("acme").flags
    flags.set("new", **rule)
    assert flags.is_active("new", user) is expected
    assert make_tenant("globex").flags.is_active("new", user) is False


def test_is_active__by_the_language(make_tenant: MakeTenant) -> None:
    flags = make_tenant("acme").flags
    flags.set("new", languages=["de", "fr"])
    assert [flags.is_active("new", language=code) for code in ("de", "en", None)] == [True, False, False]


@pytest.mark.django_db(transaction=True)
def test_is_active__by_the_group(make_tenant: MakeTenant, django_assert_num_queries: Any) -> None:
    flags = make_tenant("acme").flags
    flags.set("new", groups=["beta"], percent=0)
    member, other = User.objects.create(username="ann"), User.objects.create(username="bob")
    member.groups.add(Group.objects.create(name="beta"))
    assert (flags.is_active("new", member), flags.is_active("new", other)) == (True, False)
    assert not flags.is_active("new", AnonymousUser())


def test_is_active__what_is_not_there_is_the_default(make_tenant: MakeTenant) -> None:
    flags = make_tenant("acme").flags
    assert (flags.is_active("new"), flags.is_active("new", default=True)) == (False, True)
    assert (flags.switch_is_active("new"), flags.switch_is_active("new", default=True)) == (False, True)
    assert (flags.sample_is_active("new"), flags.sample_is_active("new", default=True)) == (False, True)
    flags.set("new", everyone=True)
    flags.delete("new")
    assert not flags.is_active("new")


def test_flags__cost_nothing_between_readings(make_tenant: MakeTenant, counting: Counting) -> None:
    flags = make_tenant("acme").flags
    flags.set("new", percent=50, users=["1"])
    flags.set_switch("dark", True)
    flags.set_sample("trace", 50)
    flags.all()
    with counting() as cost:
        for number in range(200):
            flags.is_active("new", Person(pk=number))
            assert flags.switch_is_active("dark")
            flags.sample_is_active("trace")
    assert cost == (0, 0)


def test_set__costs_one_command(make_tenant: MakeTenant, counting: Counting) -> None:
    flags = make_tenant("acme").flags
    flags.set("new", everyone=True)
    with counting() as cost:
        flags.set("new", everyone=False)
    assert cost == (1, 1)


def test_switches_and_samples(make_tenant: MakeTenant, valkey: Server) -> None:
    flags = make_tenant("acme").flags
    flags.set_switch("dark", False)
    assert not flags.switch_is_active("dark", default=True)
    flags.set_switch("dark", True)
    flags.set_sample("all", 100)
    flags.set_sample("none", 0)
    flags.set_sample("half", 50)
    assert flags.switch_is_active("dark")
    assert {flags.sample_is_active("all") for _ in range(50)} == {True}
    assert {flags.sample_is_active("none") for _ in range(50)} == {False}
    assert {flags.sample_is_active("half") for _ in range(200)} == {True, False}
    flags.set_switch("dark", None)
    flags.set_sample("half", None)
    assert not flags.switch_is_active("dark")
    fields = {field.decode() for field in valkey.call("HKEYS", "tenant:{acme}")}
    assert fields == {"sample all", "sample none"}


def test_all__are_the_flags_by_name(make_tenant: MakeTenant) -> None:
    flags = make_tenant("acme").flags
    flags.set("new", percent=12.5, groups=["beta"])
    assert flags.all() == {"new": Flag(percent=12.5, groups=("beta",))}


@given(
    names=st.tuples(st.text(min_size=1, max_size=20), st.text(max_size=20), st.text(max_size=20)),
    percents=st.tuples(st.floats(0, 100), st.floats(0, 100)),
)
def test_share__only_grows_with_the_percentage(names: tuple[str, str, str], percents: tuple[float, float]) -> None:
    few, many = (Flag(percent=percent) for percent in sorted(percents))
    assert few.for_share(*names) <= many.for_share(*names)
    assert few.for_share(*names) == Flag(percent=few.percent).for_share(*names)
    assert Flag(percent=100).for_share(*names)
    assert not Flag(percent=0).for_share(*names)


@pytest.mark.parametrize("percent", [5, 25, 50, 90])
def test_share__is_about_the_percentage_and_differs_by_flag_and_tenant(percent: int) -> None:
    flag = Flag(percent=percent)
    people = [str(number) for number in range(4000)]
    shares = [
        {one for one in people if flag.for_share(tenant, name, one)}
        for tenant, name in (("acme", "new"), ("acme", "old"), ("globex", "new"))
    ]
    for share in shares:
        assert abs(len(share) - 40 * percent) < 150
    assert shares[0] != shares[1] != shares[2] != shares[0]


def test_share__is_the_same_in_every_version() -> None:
    flag = Flag(percent=30)
    share = [number for number in range(30) if flag.for_share("acme", "new", str(number))]
    assert share == [0, 2, 3, 4, 7, 16, 18, 20, 22, 25]


def test_share__of_an_identity(make_tenant: MakeTenant) -> None:
    flags = make_tenant("acme").flags
    flags.set("new", percent=50)
    by_identity = [flags.is_active("new", identity=str(number)) for number in range(50)]
    by_user = [flags.is_active("new", Person(pk=number)) for number in range(50)]
    assert by_identity == by_user
    assert set(by_user) == {True, False}


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"percent": 101}, ValueError),
        ({"percent": "50"}, ValueError),
        ({"percent": True}, ValueError),
        ({"percent": float("nan")}, ValueError),
        ({"everyone": "yes"}, TypeError),
        ({"staff": None}, TypeError),
        ({"users": "7"}, TypeError),
        ({"testing": True}, TypeError),
    ],
)
@pytest.mark.usefixtures("configure")
def test_set__what_makes_no_sense(rule: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Tenant("acme").flags.set("new", **rule)
    with pytest.raises(ValueError, match="A percentage must be a number from 0 to 100"):
        Tenant("acme").flags.set_sample("x", -1)
    with pytest.raises(TypeError, match="A name must be text"):
        Tenant("acme").flags.set(5, everyone=True)  # type: ignore[arg-type]


def test_stored_flag__of_a_later_version_is_read() -> None:
    assert flag_from_json('{"everyone": true, "moon_phase": "full"}') == Flag(everyone=True)


class Untouched:
    """A request whose user must not be looked at: that may cost a session."""

    LANGUAGE_CODE = "de"

    @property
    def user(self) -> Any:
        raise AssertionError


@pytest.mark.usefixtures("configure")
def test_functions__ask_the_current_tenant(runner: Any) -> None:
    tenant = Tenant("acme")
    tenant.flags.set("all", everyone=True)
    tenant.flags.set("staff", staff=True)
    tenant.flags.set_switch("dark", True)
    tenant.flags.set_sample("trace", 100)
    request: Any = RequestFactory().get("/")
    request.user = Person(is_staff=True)

    async def auser() -> Person:
        return Person(is_staff=True)

    request.auser = auser
    untouched: Any = Untouched()

    async def ask() -> list[bool]:
        return [
            await aflag_is_active(untouched, "all"),
            await aflag_is_active(request, "staff"),
            await aswitch_is_active("dark"),
            await asample_is_active("trace"),
        ]

    def answers() -> list[list[bool]]:
        waiting = [
            flag_is_active(untouched, "all"),
            flag_is_active(request, "staff"),
            switch_is_active("dark"),
            sample_is_active("trace"),
        ]
        return [waiting, runner.run(ask(), context=copy_context())]

    assert answers() == [[False] * 4] * 2
    with tenant_context("acme"):
        assert answers() == [[True] * 4] * 2
    with tenant_context(Tenant("globex")):
        request.auser = auser
        assert not flag_is_active(request, "all")
