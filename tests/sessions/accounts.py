"""One user, in no table: SQLite in memory is one connection, which many threads of a server cannot share."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import User
from django.http import HttpRequest

NAME = PASSWORD = "someone"


def one_user() -> User:
    return User(pk=1, username=NAME, password="unusable")


class OneUser(BaseBackend):
    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> User | None:
        return one_user() if credentials == {"username": NAME, "password": PASSWORD} else None

    def get_user(self, user_id: Any) -> User | None:
        return one_user() if user_id == 1 else None
