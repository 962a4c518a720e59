"""Whatever is sent to Django REST framework, a key changes nothing of the response, and a replay is that response."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import Client
from django.test.client import BOUNDARY, encode_multipart
from django.urls import path
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rest_framework.parsers import DataAndFiles, FileUploadParser, FormParser, JSONParser, MultiPartParser
from rest_framework.response import Response
from rest_framework.views import APIView

from django_upstash.idempotency import IdempotentMixin, idempotent
from tests import hostile
from tests.idempotency import around
from tests.idempotency.conftest import MIDDLEWARE

camel_case = pytest.importorskip("djangorestframework_camel_case.parser", reason="djangorestframework-camel-case")
xml = pytest.importorskip("rest_framework_xml.parsers", reason="djangorestframework-xml is not installed")
yaml = pytest.importorskip("rest_framework_yaml.parsers", reason="djangorestframework-yaml is not installed")

Configure = Callable[..., None]
native = pytest.mark.parametrize("route", ["native"])
ENVELOPE, HEADER = "tests.idempotency.around.Envelope", "tests.idempotency.around.Header"
GZIP = "django.middleware.gzip.GZipMiddleware"
CONDITIONAL = "django.middleware.http.ConditionalGetMiddleware"


MORE = "what compresses well, for GZipMiddleware adds random bytes, and leaves a body alone that they make longer " * 5


class SnakeParser(MultiPartParser):  # type: ignore[misc]
    """A multipart parser of a site's own."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        found = super().parse(stream, media_type, parser_context)
        return DataAndFiles({f"own_{name}": values for name, values in found.data.lists()}, found.files)


def shown(value: Any) -> Any:
    """Return as JSON what a parser made of a body, with its types, and files by what they hold."""
    if isinstance(value, dict):
        lists = value.lists() if hasattr(value, "lists") else value.items()
        return [[repr(name), shown(inner)] for name, inner in lists]
    if isinstance(value, list | tuple):
        return [shown(inner) for inner in value]
    if hasattr(value, "read"):
        return [value.name, value.content_type, value.tell(), sha256(value.read()).hexdigest()]
    return [type(value).__name__, repr(value)]


class Echo(IdempotentMixin, APIView):  # type: ignore[misc]
    authentication_classes = ()
    permission_classes = ()
    reads_data = True

    def post(self, request: Any, **kwargs: Any) -> Response:
        if not self.reads_data:
            return Response(
                {"body": repr(request.body) if request.query_params.get("body") else "not read", "more": MORE}
            )
        return Response({"data": shown(request.data), "files": shown(request.FILES), "more": MORE}, status=201)


class DataReadBefore:
    def has_permission(self, request: Any, view: Any) -> bool:
        return request.data is not None


def echo(*parsers: Any, **attributes: Any) -> Any:
    view: Any = type("Echo", (Echo,), {"parser_classes": parsers, **attributes})
    return view.as_view()


PARSERS: dict[str, tuple[Any, ...]] = {
    "json": (JSONParser,),
    "form": (FormParser,),
    "multipart": (MultiPartParser,),
    "own": (SnakeParser,),
    "camel": (camel_case.CamelCaseJSONParser, camel_case.CamelCaseFormParser, camel_case.CamelCaseMultiPartParser),
    "xml": (xml.XMLParser,),
    "yaml": (yaml.YAMLParser,),
    "all": (JSONParser, FormParser, MultiPartParser, xml.XMLParser, yaml.YAMLParser),
    "none": (),
}


@idempotent
def decorated(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"n": 1, "post": shown(request.POST), "files": shown(request.FILES), "more": MORE}, status=201)


@idempotent
async def adecorated(request: HttpRequest) -> HttpResponse:
    return decorated.__wrapped__(request)  # type: ignore[attr-defined, no-any-return]


def plain(request: HttpRequest) -> HttpResponse:
    return decorated.__wrapped__(request)  # type: ignore[attr-defined, no-any-return]


urlpatterns = [
    *(path(f"{name}/", echo(*parsers)) for name, parsers in PARSERS.items()),
    *(path(f"early-{name}/", echo(*found, permission_classes=(DataReadBefore,))) for name, found in PARSERS.items()),
    path("file/<str:filename>", echo(FileUploadParser)),
    path("unread/", echo(*PARSERS["all"], reads_data=False)),
    path("decorated/", decorated),
    path("adecorated/", adecorated),
    path("plain/", plain),
]
VIEWS = [*(f"/{name}/" for name in PARSERS), *(f"/early-{name}/" for name in PARSERS)]
VIEWS += ["/file/a.txt", "/unread/", "/unread/?body=1"]
PLAIN = ["/decorated/", "/adecorated/", "/plain/"]


@pytest.fixture
def echoing(settings: Any, configure: Configure) -> Configure:
    settings.ROOT_URLCONF = __name__
    settings.ALLOWED_HOSTS = ["*"]
    settings.MIDDLEWARE = []
    around.passed.clear()
    return configure


def send(view: str, body: bytes, kind: str, key: str | None, **headers: str) -> Any:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None:
        given["Idempotency-Key"] = f'"{key}"'
    client = Client(raise_request_exception=False)
    return client.generic("POST", view, body, content_type=kind, headers={"Accept": "application/json", **given})


def seen(response: Any) -> tuple[int, str, dict[str, str], bytes]:
    """Return what two responses have in common where they are equal."""
    aside = {"date", "set-cookie", "content-encoding", "content-length", "idempotent-replayed"}
    headers = {name: value for name, value in response.headers.items() if name.lower() not in aside}
    body = response.content
    if response.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    return response.status_code, response.reason_phrase, headers, body


def form(fields: dict[str, Any], boundary: str = BOUNDARY) -> bytes:
    return encode_multipart(boundary, fields)


def multipart(fields: dict[str, Any]) -> tuple[bytes, str]:
    return form(fields), f"multipart/form-data; boundary={BOUNDARY}"


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
data = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner))
XML = [
    b"<root><paidAt>2026-01-02T03:04:05Z</paidAt><amount>1.50</amount><list-item>1</list-item></root>",
    b"<root/>",
    b"<root>",
    b"<root><a>NaN</a></root>",
]
YAML = [
    b"paid: 2026-01-02\namount: 1.5\nat: 2026-01-02 03:04:05\n",
    b"a: !!binary aGVsbG8=\nb: .nan\nc: .inf\n",
    b"1: a\n2026-01-02: b\ntrue: c\nnull: d\n",
    b"&a [*a]",
    b"a: !!set {x, y}\n",
    b"a: [",
]
FORMS = [b"a=1&a=2&b=%FF", b"myField=1", b"caf\xe9=1", b"", b"a", b"%ED%A0%80=%00"]
FIELDS: list[dict[str, Any]] = [
    {"myField": "1", "nestedName[innerName]": "é\x00"},
    {"file": SimpleUploadedFile("a.txt", b"\xff\x00\r\n--x", "text/plain"), "a": ["1", "2"]},
    {"large": SimpleUploadedFile("large.bin", b"\r\n--" * 800_000, "application/octet-stream")},
    {},
]
NAMELESS = b"--x\r\n\r\nno name\r\n--x--\r\n"
KINDS = {
    "application/json": st.one_of(data.map(lambda value: json.dumps(value).encode()), st.sampled_from([b"{", b"NaN"])),
    "application/xml": st.sampled_from(XML),
    "application/yaml": st.sampled_from(YAML),
    "application/x-www-form-urlencoded": st.sampled_from(FORMS),
    "application/x-www-form-urlencoded; charset=latin-1": st.sampled_from(FORMS),
    "text/plain": st.sampled_from([b"text", *hostile.BYTES.values()]),
    "": st.just(b"{}"),
    "multipart/form-data": st.just(b"--x\r\n"),
    "multipart/form-data; boundary=x": st.sampled_from(
        [b"", b"--x", b"--x\r\n\r\nno name\r\n--x--\r\n", *hostile.BYTES.values()]
    ),
}
BODIES = st.one_of(
    *(st.tuples(bodies, st.just(kind)) for kind, bodies in KINDS.items()),
    st.sampled_from([multipart(fields) for fields in FIELDS]),
)
ORDERS = st.permutations([GZIP, ENVELOPE, HEADER, MIDDLEWARE, CONDITIONAL])
CODINGS = st.sampled_from([{}, {"Accept_Encoding": "gzip"}, {"Accept_Encoding": "identity"}])
unhurried = hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
_keys = iter(range(10**9))


@native
@unhurried
@given(view=st.sampled_from(VIEWS), sent=BODIES, order=ORDERS, first=CODINGS, again=CODINGS)
def test_response__is_the_same_with_a_key_and_again(
    echoing: Configure, settings: Any, view: str, sent: tuple[bytes, str], order: list[str], first: Any, again: Any
) -> None:
    settings.MIDDLEWARE = order
    key = f"key {next(_keys)}"
    without = send(view, *sent, None, **first)
    with_key = send(view, *sent, key, **first)
    assert seen(with_key) == seen(without)
    assert with_key.headers.get("Content-Encoding") == without.headers.get("Content-Encoding")
    replayed = send(view, *sent, key, **again)
    assert seen(replayed) == seen(without)
    # Errors of permissions come before the lookup, and those that Django answers give the key back.
    is_kept = without.status_code < (400 if "early" in view else 500) and "html" not in without.headers["Content-Type"]
    assert ("Idempotent-Replayed" in replayed.headers) is is_kept
    if again.get("Accept_Encoding") != "gzip":
        assert "Content-Encoding" not in replayed.headers


@native
@unhurried
@given(view=st.sampled_from(PLAIN), sent=BODIES, order=ORDERS, first=CODINGS, again=CODINGS)
def test_response__of_plain_django(
    echoing: Configure, settings: Any, view: str, sent: tuple[bytes, str], order: list[str], first: Any, again: Any
) -> None:
    settings.MIDDLEWARE = order
    key = f"key {next(_keys)}"
    without = send(view, *sent, None, **first)
    with_key = send(view, *sent, key, **first)
    assert seen(with_key) == seen(without)
    replayed = send(view, *sent, key, **again)
    assert seen(replayed) == seen(without)
    is_kept = without.status_code < (500 if view == "/plain/" else 400)  # errors that views raise give the key back
    assert ("Idempotent-Replayed" in replayed.headers) is is_kept
    if again.get("Accept_Encoding") != "gzip":
        assert "Content-Encoding" not in replayed.headers


@native
@pytest.mark.parametrize("order", [[MIDDLEWARE, ENVELOPE, HEADER, GZIP], [ENVELOPE, HEADER, MIDDLEWARE, GZIP]])
def test_middleware__below_ours_sees_each_operation_once(echoing: Configure, settings: Any, order: list[str]) -> None:
    settings.MIDDLEWARE = order
    first, again = (send("/plain/", b"a=1", "application/x-www-form-urlencoded", "k") for _ in range(2))
    assert seen(again) == seen(first)
    assert first.headers["X-Passed"] == "+"
    times = 1 if order[0] == MIDDLEWARE else 2
    assert around.passed == ["Header", "Envelope"] * times


@native
@pytest.mark.parametrize("view", ["/multipart/", "/own/", "/camel/", "/early-all/", *PLAIN])
def test_parts__count_and_boundaries_do_not(echoing: Configure, settings: Any, view: str) -> None:
    settings.MIDDLEWARE = [MIDDLEWARE]

    def post(boundary: str, content: bytes, key: str) -> Any:
        body = form({"a": "1", "file": SimpleUploadedFile("a.bin", content)}, boundary)
        return send(view, body, f"multipart/form-data; boundary={boundary}", key)

    large = b"\r\n--other" * 400_000
    sent = (("one", large), ("two", large), ("one", large[:-1]))
    assert [post(*given, "k").status_code for given in sent] == [201, 201, 422]
