"""A site whose pages count how often they are executed, protected in every way there is."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.db import transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template import engines
from django.template.response import SimpleTemplateResponse
from django.urls import path
from django.views import View
from rest_framework.authentication import BaseAuthentication
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from django_upstash.idempotency import IdempotentMixin, Protection, idempotent

executed: list[str] = []
hangs = [True]
_numbers = itertools.count(1)


class User:
    is_authenticated = True
    is_active = True

    def __init__(self, pk: str | None) -> None:
        self.pk = pk


class UserMiddleware:
    """Takes the place of Django's: the user is whom a header names."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        name = request.headers.get("X-User")
        user = User(name) if name else None

        async def auser() -> User | None:
            return user

        request.user, request.auser = user, auser
        return self.get_response(request)


def chunks() -> Iterator[bytes]:
    yield b"one"
    yield b"two"


def execute(request: Any) -> HttpResponseBase:
    """Do what the body asks for, and count it."""
    asked = json.loads(request.body or b"{}") if request.content_type == "application/json" else {}
    executed.append(request.path)
    time.sleep(asked.get("sleep", 0))
    if asked.get("raise"):
        raise RuntimeError("as asked")
    if asked.get("stream"):
        return StreamingHttpResponse(chunks())
    if asked.get("template"):
        template = engines["django"].from_string("order {{ number }}")
        return SimpleTemplateResponse(template, {"number": next(_numbers)})
    body = b"\xff\x00" * asked["large"] if "large" in asked else f"order {next(_numbers)} é\n".encode()
    response = HttpResponse(body, status=asked.get("status", 201), content_type="text/plain; charset=utf-8")
    response.headers["X-Order"] = "a, b"
    response.headers["Location"] = "/orders/1/"
    response.set_cookie("visitor", "secret")
    return response


@idempotent
def orders(request: HttpRequest) -> HttpResponseBase:
    return execute(request)


@idempotent(required=True)
def needing_key(request: HttpRequest) -> HttpResponseBase:
    return execute(request)


@idempotent(on_failure="open")
def open_orders(request: HttpRequest) -> HttpResponseBase:
    return execute(request)


@idempotent
async def async_orders(request: HttpRequest) -> HttpResponseBase:
    return execute(request)


@idempotent
def failing_commit(request: HttpRequest) -> HttpResponseBase:
    response = execute(request)
    transaction.set_rollback(True)
    return response


@idempotent
class ClassOrders(View):
    def post(self, request: HttpRequest) -> HttpResponseBase:
        return execute(request)


@idempotent
class AsyncClassOrders(View):
    async def post(self, request: HttpRequest) -> HttpResponseBase:
        return execute(request)


class MethodOrders(View):
    @idempotent
    def post(self, request: HttpRequest) -> HttpResponseBase:
        return execute(request)


def plain(request: HttpRequest) -> HttpResponseBase:
    return execute(request)


async def async_plain(request: HttpRequest) -> HttpResponseBase:
    return execute(request)


async def hanging(request: HttpRequest) -> HttpResponseBase:
    """Answer once nobody wants it to hang."""
    executed.append(request.path)
    while hangs:
        await asyncio.sleep(0.01)
    return HttpResponse(status=201)


class Authentication(BaseAuthentication):  # type: ignore[misc]
    def authenticate(self, request: Any) -> tuple[User, None] | None:
        name = request.headers.get("X-Token-Of")
        return (User(name), None) if name else None


class MayOrder(BasePermission):  # type: ignore[misc]
    def has_permission(self, request: Any, view: Any) -> bool:
        if request.headers.get("X-Reads-Data"):
            assert request.data
        return request.headers.get("X-Forbidden") is None


class LinesParser(BaseParser):  # type: ignore[misc]
    """Reads the request's stream, which can be read once."""

    media_type = "text/lines"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> dict[str, str]:
        return {"lines": stream.read().decode()}


class ApiOrders(IdempotentMixin, APIView):  # type: ignore[misc]
    idempotency = Protection(required=True)
    parser_classes = (*APIView.parser_classes, LinesParser)
    authentication_classes = (Authentication,)
    permission_classes = (IsAuthenticated, MayOrder)

    def post(self, request: Any) -> Response:
        executed.append(request.path)
        if request.data.get("raise"):
            raise RuntimeError("as asked")
        if request.data.get("invalid"):
            raise ValidationError({"amount": "too much"})
        response = Response({"order": next(_numbers), "for": request.user.pk}, status=201)
        response.set_cookie("visitor", "secret")
        return response


class KeyAuthentication(BaseAuthentication):  # type: ignore[misc]
    def authenticate(self, request: Any) -> tuple[None, str]:
        return None, request.headers["X-Device"]


class KeyedApi(IdempotentMixin, APIView):  # type: ignore[misc]
    authentication_classes = (KeyAuthentication,)
    permission_classes = ()

    def post(self, request: Any) -> Response:
        executed.append(request.path)
        return Response({"for": request.auth})


class UnprotectedApi(APIView):  # type: ignore[misc]
    authentication_classes = (Authentication,)
    permission_classes = ()

    def post(self, request: Any) -> Response:
        executed.append(request.path)
        return Response({"for": request.user.pk})


@api_view(["POST"])  # type: ignore[untyped-decorator]
@authentication_classes([Authentication])  # type: ignore[untyped-decorator]
@permission_classes([IsAuthenticated])  # type: ignore[untyped-decorator]
@idempotent
def api_function(request: Any) -> Response:
    executed.append(request.path)
    return Response({"order": next(_numbers), "for": request.user.pk}, status=201)


urlpatterns = [
    path("orders/", orders),
    path("needing-key/", needing_key),
    path("open-orders/", open_orders),
    path("async-orders/", async_orders),
    path("failing-commit/", failing_commit),
    path("class-orders/", ClassOrders.as_view()),
    path("async-class-orders/", AsyncClassOrders.as_view()),
    path("method-orders/", MethodOrders.as_view()),
    path("plain/", plain),
    path("async-plain/", async_plain),
    path("hanging/plain/", hanging),
    path("hanging/decorated/", idempotent(hanging)),
    path("api/orders/", ApiOrders.as_view()),
    path("api/keyed/", KeyedApi.as_view()),
    path("api/unprotected/", UnprotectedApi.as_view()),
    path("api/function/", api_function),
]
