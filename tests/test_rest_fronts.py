"""The habits of other people's REST servers, as the tests' front shows them."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from django_upstash.dev_server import LocalServer
from tests.rest_fronts import RestFront, as_double


def ask(front: RestFront, body: bytes, content_type: str = "application/json") -> tuple[int, object]:
    connection = HTTPConnection(urlsplit(front.url).netloc, timeout=20)
    headers = {"Authorization": f"Bearer {front.token}", "Content-Type": content_type}
    connection.request("POST", "/", body, headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


@pytest.mark.parametrize(
    ("digits", "double"),
    [("7", 7), ("9007199254740993", 9007199254740992), ("1796000000000000001", 1796000000000000000), ("-5", -5)],
)
def test_as_double(digits: str, double: int) -> None:
    assert as_double(digits) == double


def test_integers_pass_through_a_double(local_server: LocalServer) -> None:
    with RestFront(local_server, rounds_integers=True) as front:
        ask(front, b'["SET","front:n","9007199254740992"]')
        assert ask(front, b'["INCR","front:n"]') == (200, {"result": 9007199254740992})
        assert ask(front, b'["GET","front:n"]') == (200, {"result": "9007199254740993"})


def test_raw_bodies_are_refused(local_server: LocalServer) -> None:
    with RestFront(local_server, refuses_raw_bodies=True) as front:
        status, answer = ask(front, b"\xff", "application/octet-stream")
    assert (status, answer) == (400, {"error": "Invalid content type. Expected application/json."})


def test_errors_have_a_prefix_and_a_status_of_their_own(local_server: LocalServer) -> None:
    with RestFront(local_server, error_prefix="Failed: ") as front:
        status, answer = ask(front, b'["EVALSHA","%s",0]' % (b"0" * 40))
    assert status == 500
    assert str(answer["error"]).startswith("Failed: NOSCRIPT")  # type: ignore[index]
