"""
What the admin knows when Django starts: addresses and permissions. The pages themselves come with the first request.

So a process that never shows them, such as a worker or a short-lived function, loads no client of Redis for them.
"""

from __future__ import annotations

from functools import cached_property, update_wrapper
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from django_upstash.health.unavailable import explained
from django_upstash.settings.admin import admin_settings

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin


class RedisModelAdmin(_ModelAdmin):
    """
    The addresses and permissions of a page; with ``READ_ONLY`` nobody may change or delete.

    Nobody may do what the model has no permission for, not even superusers.
    """

    actions = None

    def get_urls(self) -> list[Any]:
        def view(request: HttpRequest, **kwargs: Any) -> HttpResponse:
            return self.admin_site.admin_view(self.action_view)(request, **kwargs)

        name = f"{self.opts.app_label}_{self.opts.model_name}_action"
        urls = [path("do/<slug:name>/", update_wrapper(view, self.action_view), name=name), *super().get_urls()]
        for pattern in urls:
            # Whether somebody may see the page is not known while the session cannot be read.
            pattern.callback = explained(pattern.callback)
        return urls

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_open_to("change") and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_open_to("delete") and super().has_delete_permission(request, obj)

    def _is_open_to(self, permission: str) -> bool:
        return permission in self.opts.default_permissions and not admin_settings().read_only

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        raise Http404(_("Use the page's actions to delete."))

    def action_view(self, request: HttpRequest, name: str) -> HttpResponse:
        raise NotImplementedError


class DeferredAdmin(RedisModelAdmin):
    """Registered in place of the page whose dotted path is ``page_class``, which is imported at the first request."""

    page_class: ClassVar[str]

    @cached_property
    def page(self) -> RedisModelAdmin:
        page: RedisModelAdmin = import_string(self.page_class)(self.model, self.admin_site)
        return page

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return self.page.changelist_view(request, extra_context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        return self.page.change_view(request, object_id, form_url, extra_context)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> Any:
        return self.page.history_view(request, object_id, extra_context)

    def action_view(self, request: HttpRequest, name: str) -> HttpResponse:
        return self.page.action_view(request, name)


def deferred(page_class: str) -> type[DeferredAdmin]:
    """Return the class to register for the page whose dotted path is given."""
    return type(f"Deferred{page_class.rpartition('.')[2]}", (DeferredAdmin,), {"page_class": page_class})
