"""A changed password ends a user's other sessions, one that is being saved at that moment too, by real HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest, HttpResponse
from django.urls import path

from example_project.urls import urlpatterns as of_the_example
from tests.sessions import accounts
from tests.sessions.accounts import NAME, PASSWORD
from tests.sessions.test_site import route, server, site, user, visitor

__all__ = ["route", "server", "site", "user"]

reading, changed = threading.Event(), threading.Event()
password = "unusable"


def change(request: HttpRequest) -> HttpResponse:
    global password
    is_logged_in = request.user.is_authenticated  # by the old password
    password = "another"
    update_session_auth_hash(request, accounts.one_user())
    return HttpResponse(f"changed {is_logged_in}")


def save(request: HttpRequest) -> HttpResponse:
    """Change the session before the password is changed, and store it after."""
    request.session["basket"] = [1]
    reading.set()
    assert changed.wait(30)
    return HttpResponse("saved")


def show(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.user.is_authenticated} {request.session.get('basket')}")


urlpatterns = [*of_the_example, path("change/", change), path("save/", save), path("show/", show)]


@pytest.fixture
def changing(settings: Any, server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the site, whose one user has a password that can be changed."""
    global password
    password = "unusable"
    reading.clear()
    changed.clear()
    one_user = accounts.one_user

    def with_password() -> Any:
        found = one_user()
        found.password = password
        return found

    monkeypatch.setattr(accounts, "one_user", with_password)
    settings.ROOT_URLCONF = __name__
    yield server
    changed.set()


def log_in(address: str) -> Any:
    from tests.sessions.test_site import post

    browser = visitor("0" * 32)
    post(browser, f"{address}/login/", username=NAME, password=PASSWORD)
    return browser


def test_password_change__ends_the_session_that_is_being_saved(changing: str) -> None:
    def ask(browser: Any, page: str) -> str:
        return str(browser.open(f"{changing}/{page}/").read().decode())

    mine, other = log_in(changing), log_in(changing)
    with ThreadPoolExecutor(1) as pool:
        saving = pool.submit(ask, other, "save")
        assert reading.wait(30)
        assert ask(mine, "change") == "changed True"
        changed.set()
        assert saving.result() == "saved"
    assert ask(mine, "show") == "True None"
    assert ask(other, "show") == "False None"
    assert ask(mine, "show") == "True None"
