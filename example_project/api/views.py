"""A note to be read, written and exported, and a login to be guessed at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.contrib.auth import authenticate
from django.core.cache import caches
from django.http import Http404, StreamingHttpResponse
from rest_framework.exceptions import ParseError, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from example_project.api.throttles import Burst, Exports, FailedLogins, Sustained, Writes

NOTE = "note"


class View(APIView):  # type: ignore[misc]
    """A view whose address names the route: the cache it uses, and the connection that counts."""

    throttle_classes: tuple[type, ...] = (Burst, Sustained)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if kwargs["alias"] not in caches:
            raise Http404
        super().initial(request, *args, **kwargs)

    @property
    def cache(self) -> Any:
        return caches[self.kwargs["alias"]]

    def given(self, name: str) -> str:
        """Return what was sent under a name; 400 for a body that has no names, such as a list in JSON."""
        if not isinstance(self.request.data, Mapping):
            raise ParseError("Send a form or a JSON object.")
        return str(self.request.data.get(name, ""))


class Note(View):
    """GET reads the note; POST with ``text`` writes it, which is limited more narrowly."""

    def get_throttles(self) -> list[Any]:
        if self.request.method == "POST":
            self.throttle_scope = "writes"
        return [*super().get_throttles(), Writes()]

    def get(self, request: Request, alias: str) -> Response:
        return Response({"note": self.cache.get(NOTE)})

    def post(self, request: Request, alias: str) -> Response:
        self.cache.set(NOTE, self.given("text")[:200])
        return Response(status=204)


class Export(View):
    """GET streams the note, for one download of each client at a time."""

    throttle_classes = (Exports,)

    def get(self, request: Request, alias: str) -> StreamingHttpResponse:
        return StreamingHttpResponse(self.parts(), content_type="text/plain")

    def parts(self) -> Iterator[str]:
        yield from str(self.cache.get(NOTE))


class Login(View):
    """POST with ``user`` and ``password`` says whether they are right; only wrong ones are counted."""

    throttle_classes = (FailedLogins,)

    def post(self, request: Request, alias: str) -> Response:
        user = authenticate(request, username=self.given("user"), password=self.given("password"))
        if user is None:
            raise PermissionDenied
        return Response({"user": user.get_username()})
