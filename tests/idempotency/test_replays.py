"""What a replay is made of: encodings, notes for the middleware above, views that are others than they seemed."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.request import RawPostDataException
from django.template.response import SimpleTemplateResponse
from django.test import Client, RequestFactory
from django.urls import path
from django.utils.datastructures import MultiValueDict
from django.views.decorators.clickjacking import xframe_options_exempt
from rest_framework.response import Response
from rest_framework.views import APIView

from django_upstash.idempotency import IdempotentMixin, idempotent
from django_upstash.idempotency.codings import accepts, decoded
from django_upstash.idempotency.described import described
from django_upstash.idempotency.keys import canonical_json
from django_upstash.idempotency.multipart import PartsDigest
from tests.idempotency.conftest import MIDDLEWARE, post, problem
from tests.servers import Server

Configure = Callable[..., None]
pytestmark = pytest.mark.parametrize("route", ["native"])
LINE = b"a line that repeats itself\n" * 50
PACKED = {"gzip": gzip.compress(LINE), "deflate": zlib.compress(LINE)}
calls: list[str] = []
broken = [True]


class Broken(SimpleTemplateResponse):
    @property
    def rendered_content(self) -> str:
        if broken:
            raise ArithmeticError
        return "rendered"


@idempotent
def template(request: HttpRequest) -> HttpResponse:
    calls.append("template")
    return Broken("page.html")


class BrokenApi(IdempotentMixin, APIView):  # type: ignore[misc]
    authentication_classes = permission_classes = ()

    def post(self, request: Any) -> Response:
        calls.append("api")
        return Response({"number": object() if broken else 1})


@idempotent
@xframe_options_exempt
def embedded(request: HttpRequest) -> HttpResponse:
    return HttpResponse("in a frame")


def encoded(request: HttpRequest) -> HttpResponse:
    coding = request.headers["X-Coding"]
    body = PACKED.get(coding, LINE)
    headers = {"Content-Encoding": coding, "Content-Length": str(len(body))}
    return HttpResponse(body, headers=headers)


def other(request: HttpRequest) -> HttpResponse:
    calls.append("other")
    return HttpResponse("other")


class Switch:
    """Leads requests to other views, as middleware for hosts does, or answers them itself."""

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        if request.headers.get("X-Refuse"):
            return HttpResponse(status=302)
        request.urlconf = tuple(other_patterns)
        response = self.get_response(request)
        response.content = b"<" + response.content + b">"
        return response


other_patterns = [path("encoded/", template), path("embedded/", other), path("only-here/", other)]
urlpatterns = [
    path("template/", template),
    path("api/", BrokenApi.as_view()),
    path("embedded/", embedded),
    path("encoded/", encoded),
]


@pytest.fixture
def replaying(settings: Any, configure: Configure) -> Any:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = []
    settings.ALLOWED_HOSTS = ["*"]
    calls.clear()
    broken[:] = [True]
    return settings


@pytest.mark.parametrize("view", ["/template/", "/api/"])
def test_response__that_cannot_be_rendered_gives_the_key_back(replaying: Any, view: str, valkey: Server) -> None:
    assert post(view).status_code == 500
    assert valkey.call("DBSIZE") == 0
    broken.clear()
    first, again = post(view), post(view)
    assert (first.status_code, again.content, len(calls)) == (200, first.content, 2)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_notes__for_the_middleware_above_are_replayed(replaying: Any) -> None:
    replaying.MIDDLEWARE = ["django.middleware.clickjacking.XFrameOptionsMiddleware"]
    first, again = post("/embedded/"), post("/embedded/")
    assert dict(again.headers) == {**first.headers, "Idempotent-Replayed": "true"}
    assert "X-Frame-Options" not in again.headers


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_body__is_stored_as_it_was_before_it_was_compressed(replaying: Any, coding: str, valkey: Server) -> None:
    replaying.MIDDLEWARE = [MIDDLEWARE]
    post("/encoded/", X_Coding=coding)
    again = post("/encoded/", X_Coding=coding)
    assert (again.content, again.headers["Content-Length"]) == (LINE, str(len(LINE)))
    assert "Content-Encoding" not in again.headers


def test_body__in_an_encoding_that_is_not_known_is_for_those_who_accept_it(replaying: Any) -> None:
    replaying.MIDDLEWARE = [MIDDLEWARE]
    first = post("/encoded/", X_Coding="zstd", Accept_Encoding="zstd")
    again = post("/encoded/", X_Coding="zstd", Accept_Encoding="gzip, zstd")
    assert (again.content, again.headers["Content-Encoding"]) == (first.content, "zstd")
    refused = post("/encoded/", X_Coding="zstd", Accept_Encoding="gzip")
    assert problem(refused) == (406, "idempotency_encoding_not_accepted")


def test_body__is_limited_as_it_is_before_compression(replaying: Any, configure: Configure) -> None:
    replaying.MIDDLEWARE = [MIDDLEWARE]
    configure(MAX_RESPONSE_SIZE=len(LINE) - 1)
    assert post("/encoded/", X_Coding="gzip").status_code == 200
    assert problem(post("/encoded/", X_Coding="gzip")) == (409, "idempotency_response_not_kept")


def test_codings(route: str) -> None:
    packed = gzip.compress(LINE)
    assert decoded(packed, " GZip", 10_000) == decoded(packed, "x-gzip", 10_000) == LINE
    assert len(decoded(packed, "gzip", 10) or b"") == 11
    for body, coding in ((packed[:-1], "gzip"), (packed * 2, "gzip"), (LINE, "gzip"), (packed, "br"), (b"", "deflate")):
        assert decoded(body, coding, 10_000) is None
    assert accepts(None, "br")
    assert accepts("gzip, br;q=0.5", "br")
    assert accepts("*", "br")
    for field in ("", "gzip", "br;q=0", "*;q=0", "br;q=0, *", "br;q=x"):
        assert not accepts(field, "br")


@pytest.mark.parametrize("view", ["/only-here/", "/embedded/"])
def test_view__that_is_another_than_it_seemed_is_protected(replaying: Any, view: str) -> None:
    replaying.MIDDLEWARE = [MIDDLEWARE, f"{__name__}.Switch"]
    first, again = post(view), post(view)
    assert (first.content, again.content, calls) == (b"<other>", b"<other>", ["other"])
    assert again.headers["Idempotent-Replayed"] == "true"


def test_view__that_protects_itself_after_all_does_so(replaying: Any, valkey: Server) -> None:
    replaying.MIDDLEWARE = [MIDDLEWARE, f"{__name__}.Switch"]
    broken.clear()
    assert post("/encoded/").content == b"<rendered>"
    assert valkey.call("DBSIZE") == 1
    assert calls == ["template"]


def test_answer__of_middleware_below_is_not_stored(replaying: Any, valkey: Server) -> None:
    replaying.MIDDLEWARE = [MIDDLEWARE, f"{__name__}.Switch"]
    assert post("/encoded/", X_Refuse="yes").status_code == 302
    assert valkey.call("DBSIZE") == 0


def test_request__that_was_looked_at_is_as_it_was(route: str, configure: Configure, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    handled: list[Any] = []

    @idempotent
    def view(request: Any) -> HttpResponse:
        request.upload_handlers = request.upload_handlers[1:]  # refused once Django has parsed a form
        request.encoding = "latin-1"
        handled.append(request.FILES["file"])
        return HttpResponse(request.POST["name"])

    file = SimpleUploadedFile("a.bin", b"x" * 3_000_000)
    request = RequestFactory().post("/", {"name": "caf\xc3\xa9", "file": file}, headers={"Idempotency-Key": '"k"'})
    view(request)
    assert isinstance(handled[0], TemporaryUploadedFile)
    copy = vars(request)["_stream"]
    request.close()
    assert copy.closed


def test_request__that_is_read_in_pieces_or_too_large_to_be_read_at_once(route: str, configure: Configure) -> None:
    @idempotent
    def pieces(request: HttpRequest) -> HttpResponse:
        return HttpResponse(str(sum(map(len, iter(lambda: request.read(1000), b"")))))

    @idempotent
    def lines(request: HttpRequest) -> HttpResponse:
        return HttpResponse(str(len(list(request))))

    def send(view: Any, last: bytes = b"") -> Any:
        body = b"line\n" * 600_000 + last
        given: Any = {"content_type": "text/plain", "headers": {"Idempotency-Key": f'"{view.__name__}"'}}
        return view(RequestFactory().post("/", body, **given))

    assert (send(pieces).content, send(lines).content) == (b"3000000", b"600000")
    assert send(pieces).headers["Idempotent-Replayed"] == "true"
    assert send(pieces, b"x").status_code == 422


def test_request__that_was_read_by_somebody_who_kept_nothing(route: str, configure: Configure) -> None:
    request = RequestFactory().post("/", b"x", content_type="text/plain", headers={"Idempotency-Key": '"k"'})
    request.read()
    with pytest.raises(RawPostDataException, match="name a fingerprint"):
        idempotent(other)(request)


def test_parts__are_digested_alike_in_any_chunks(route: str) -> None:
    def digest(boundary: bytes, chunk: int, content: bytes = b"\r\n--\r\n") -> str:
        body = b"--B\r\nA: b\r\n\r\n" + content + b"\r\n--B--\r\n"
        body, parts = body.replace(b"B\r", boundary + b"\r").replace(b"B-", boundary + b"-"), PartsDigest(boundary)
        for start in range(0, len(body), chunk):
            parts.update(body[start : start + chunk])
        return parts.hexdigest()

    digests = {digest(boundary, chunk) for boundary in (b"one", b"another", b"x" * 70) for chunk in range(1, 40)}
    assert len(digests) == 1
    assert digest(b"one", 7, b"other") not in digests


class Point:
    def __init__(self, x: int) -> None:
        self.x = x


def test_described__is_equal_for_equal_data_only(route: str) -> None:
    itself: list[Any] = []
    itself.append(itself)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    different: list[Any] = [
        *(1, 1.0, True, "1", None, "", b"1", Decimal("1"), Decimal("1.0"), date(2026, 1, 2), "2026-01-02", 1 << 20_000),
        *(float("nan"), float("inf"), "\ud800", [], {}, [[]], [1, 2], [2, 1], {1}, {1: 2}, {"1": 2}, {None: 1}),
        *(itself, deep, Point(1), Point(2), QueryDict("a=1&a=2"), QueryDict("a=2&a=1"), [{}, {}], [{}]),
        *(SimpleUploadedFile("a", b"1"), SimpleUploadedFile("a", b"2"), SimpleUploadedFile("b", b"1")),
    ]
    texts = [canonical_json(described(value)) for value in different]
    assert len(set(texts)) == len(texts)
    assert [canonical_json(described(value)) for value in different] == texts
    assert described({"a": 1, "b": Point(1)}) == described({"b": Point(1), "a": 1})
    assert described({3, 1, 2}) == described({1, 2, 3})


def test_described__looks_once_at_what_is_there_many_times(route: str) -> None:
    laughs: list[Any] = ["lol"]
    for _ in range(100):
        laughs = [laughs] * 9
    assert len(described(laughs)) < 2000


def test_described__leaves_files_where_they_were(route: str) -> None:
    file = SimpleUploadedFile("a", b"abc")
    file.read(2)
    described(MultiValueDict({"file": [file]}))
    assert file.read() == b"c"
    closed = SimpleUploadedFile("a", b"abc")
    closed.close()
    assert "size 3" in str(described(closed)) or described(closed)


def test_client__that_sends_less_than_it_said(replaying: Any, configure: Configure) -> None:
    class Cut(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("the client has gone")

    request = RequestFactory().post("/", b"x", content_type="text/plain", headers={"Idempotency-Key": '"k"'})
    vars(request)["_stream"] = Cut()
    with pytest.raises(OSError, match="the client has gone"):
        idempotent(other)(request)
    assert Client().get("/nowhere/").status_code == 404
