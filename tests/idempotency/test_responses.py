"""What is kept of a response, and what comes of it."""

from __future__ import annotations

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from hypothesis import given, settings
from hypothesis import strategies as st

from django_upstash.idempotency.responses import ResponseSerializer, StoredResponse

serializer = ResponseSerializer()
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)


@settings(max_examples=50, deadline=None)
@given(
    status=st.integers(100, 599),
    reason=values,
    headers=st.dictionaries(st.from_regex(r"X-[A-Za-z]{1,8}", fullmatch=True), values, max_size=5),
    body=st.binary(max_size=200),
)
def test_stored_response__is_replayed(status: int, reason: str, headers: dict[str, str], body: bytes) -> None:
    response = HttpResponse(body, status=status, reason=reason, headers=headers)
    stored = StoredResponse.of(response, len(body))
    again = serializer.loads(serializer.dumps(stored))
    assert again == stored
    replayed = again.replayed()
    assert (replayed.status_code, replayed.reason_phrase, replayed.content) == (status, reason, body)
    assert list(replayed.items()) == [*response.items(), ("Idempotent-Replayed", "true")]


def test_stored_response__without_what_is_of_one_connection_or_one_browser() -> None:
    names = ("Connection", "keep-alive", "Proxy-Authenticate", "TE", "Trailer", "Transfer-Encoding", "Upgrade")
    response = HttpResponse(b"x", headers={**dict.fromkeys(names, "x"), "Set-Cookie": "a=b", "ETag": '"1"'})
    response.set_cookie("visitor", "secret")
    stored = StoredResponse.of(response, 1)
    assert dict(stored.headers) == {"Content-Type": "text/html; charset=utf-8", "ETag": '"1"'}
    assert b"secret" not in serializer.dumps(stored)


@pytest.mark.parametrize("response", [HttpResponse(b"12"), StreamingHttpResponse([b"1"])])
def test_stored_response__too_large_or_streamed_has_no_body(response: HttpResponse) -> None:
    stored = StoredResponse.of(response, 1)
    assert serializer.loads(serializer.dumps(stored)).body is None
    assert stored.headers == ()


def test_stored_response__without_content_type() -> None:
    response = HttpResponse(status=204)
    del response.headers["Content-Type"]
    assert dict(StoredResponse.of(response, 0).replayed().headers) == {"Idempotent-Replayed": "true"}
