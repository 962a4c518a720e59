"""What every admin page about a Redis database has: a choice of connections, live refreshing, actions, and no table."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol
from urllib.parse import urlsplit

from django.contrib import messages
from django.contrib.admin.utils import quote
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.text import capfirst

from django_upstash.admin.formatting import cost_words, number
from django_upstash.admin.model_admins import RedisModelAdmin
from django_upstash.diagnostics.admin_connection import AdminConnection, admin_connection
from django_upstash.diagnostics.diagnosis import diagnose
from django_upstash.diagnostics.formatting import escaped
from django_upstash.exceptions import UpstashError
from django_upstash.settings import conf
from django_upstash.settings.admin import admin_settings

ALIAS = "alias"
LIVE = "_live"
_HOUR = 3600


class PageAction(Protocol):
    """What a page needs of an ``Action``."""

    def is_permitted(self, page: RedisPageAdmin, request: HttpRequest) -> bool: ...
    def answer(self, page: RedisPageAdmin, request: HttpRequest, connection: AdminConnection) -> HttpResponse: ...


class RedisPageAdmin(RedisModelAdmin):
    """
    A page of the admin about what is in Redis, for a model without a table.

    A subclass says in ``look`` what to show, in ``actions_by_name`` what can be done, and names its templates.
    """

    live_template: ClassVar[str]
    confirm_template = "admin/django_upstash/confirm.html"
    actions_by_name: ClassVar[Mapping[str, PageAction]] = {}

    def usual_alias(self) -> str:
        """Return the connection that is looked at where the request names none."""
        return conf.DEFAULT_ALIAS

    def prepare(self) -> None:
        """Do what a look and an action need to have been done before."""

    @abstractmethod
    def look(self, request: HttpRequest, connection: AdminConnection) -> dict[str, Any]:
        """Return what the page shows; raise ``UpstashError`` where the server does not answer."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Show the page, or the parts of it that are live."""
        context = {"title": capfirst(self.opts.verbose_name_plural)}
        return self.page(request, (str(self.change_list_template), self.live_template), self.look, context)

    def page(
        self, request: HttpRequest, templates: tuple[str, str], look: Any, context: Mapping[str, Any]
    ) -> HttpResponse:
        """Return the answer to a request that only looks, by the template of the page or that of its live parts."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        request.current_app = self.admin_site.name
        self.prepare()
        shown = {**self.base_context(request), **context, **self._seen(request, look)}
        response = TemplateResponse(request, templates[LIVE in request.GET], shown)
        add_never_cache_headers(response)
        return response

    def action_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Show what an action would do, or do it where that has been confirmed."""
        action = self.actions_by_name.get(name)
        if action is None:
            raise Http404
        if not action.is_permitted(self, request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        request.current_app = self.admin_site.name
        self.prepare()
        try:
            return action.answer(self, request, self.connection(request))
        except UpstashError as error:
            self.message_user(request, self.cause_of(request, error), messages.ERROR)
        except (ImproperlyConfigured, ValueError) as error:
            self.message_user(request, str(error), messages.ERROR)
        return HttpResponseRedirect(self.back(request))

    def message_user(self, request: HttpRequest, message: Any, *args: Any, **kwargs: Any) -> None:
        """Show a message, which may quote what somebody has typed, without what reorders or hides text."""
        super().message_user(request, escaped(str(message)), *args, **kwargs)

    def cause_of(self, request: HttpRequest, error: UpstashError) -> str:
        """Return why the server did not do what it was asked for, and the next step."""
        try:
            return str(diagnose(error, self.connection(request).settings))
        except (UpstashError, ImproperlyConfigured):
            return str(error)

    def connection(self, request: HttpRequest) -> AdminConnection:
        """Return the connection of the connection that the request names; raise what keeps it from being used."""
        return admin_connection(self._alias(request), admin_settings().timeout, is_automatic=LIVE in request.GET)

    def base_context(self, request: HttpRequest) -> dict[str, Any]:
        """Return what every template needs, whether the server is there or not."""
        may_change, may_delete = self.has_change_permission(request), self.has_delete_permission(request)
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "aliases": _aliases(),
            "alias": self._alias(request),
            "is_read_only": admin_settings().read_only,
            "may_change": may_change,
            "may_delete": may_delete,
            "may_act": may_change or may_delete,
            "here": request.get_full_path(),
            "changelist_url": self.changelist_url,
            "action_urls": {name.replace("-", "_"): self.action_url(name) for name in self.actions_by_name},
            "media": self.media,
        }

    @property
    def changelist_url(self) -> str:
        return self._url("changelist")

    def action_url(self, name: str) -> str:
        return self._url("action", name)

    def object_url(self, key: str) -> str:
        return self._url("change", quote(key))

    def back(self, request: HttpRequest) -> str:
        """Return the page that a form came from: one of these pages, whatever the form says."""
        given = request.POST.get("back", "")
        is_ours = urlsplit(given).path.startswith(self.changelist_url)
        return given if is_ours and url_has_allowed_host_and_scheme(given, allowed_hosts=None) else self.changelist_url

    def live_context(self, url: str, requests: int, commands: int) -> dict[str, Any]:
        """Return what the page needs to refresh itself, and what it says about the cost of that."""
        seconds = admin_settings().refresh
        per_hour = 0 if seconds is None else round(_HOUR / seconds * commands)
        return {
            "live_url": url,
            "live_seconds": seconds,
            "live_cost": cost_words(requests, commands),
            "live_per_hour": number(per_hour),
        }

    def _url(self, name: str, *arguments: str) -> str:
        route = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_{name}"
        return reverse(route, args=arguments)

    def _alias(self, request: HttpRequest) -> str:
        known = _aliases()
        given = request.POST.get(ALIAS) or request.GET.get(ALIAS)
        if given in known:
            return str(given)
        usual = self.usual_alias()
        return usual if usual in known or not known else known[0]

    def _seen(self, request: HttpRequest, look: Any) -> dict[str, Any]:
        """Return what is seen, or what keeps it from being seen: a page is never an error."""
        try:
            connection = self.connection(request)
        except (UpstashError, ImproperlyConfigured) as error:
            return {"failure": str(error)}
        place = {"route": connection.settings.route, "address": connection.settings.safe_url}
        try:
            seen = look(request, connection)
        except UpstashError as error:
            found = diagnose(error, connection.settings)
            return {**place, "failure": found.cause, "next_step": found.next_step}
        except ImproperlyConfigured as error:
            return {**place, "failure": str(error)}
        cost = cost_words(connection.spending.requests, connection.spending.commands)
        return {**place, "cost": cost, **seen}


def _aliases() -> list[str]:
    try:
        return conf.aliases()
    except ImproperlyConfigured:
        return []  # which the page says
