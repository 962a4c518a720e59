"""What can be done on a page: shown first, done once that is confirmed, by POST alone, and written into the history."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from django import forms
from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from django_upstash.admin.components import Text
from django_upstash.admin.pages import RedisPageAdmin
from django_upstash.diagnostics.admin_connection import AdminConnection
from django_upstash.diagnostics.formatting import escaped
from django_upstash.exceptions import UpstashError

CONFIRMED = "_confirmed"


@dataclass
class ActionPlan:
    """
    What an action is about to do: sentences for the confirmation, and what the history will say.

    ``objects`` are the instances whose history it is.
    """

    title: Text
    sentences: Sequence[Text]
    button: Text
    objects: Sequence[Any]
    note: str
    is_destructive: bool = False


class Preview(NamedTuple):
    """What is there now: sentences, and rows as the page's table draws them."""

    sentences: Sequence[Text] = ()
    rows: Sequence[Any] = ()


class Unfinished(NamedTuple):
    """A sentence about what was done so far, and the form that goes on."""

    text: str
    rest: QueryDict


class Action(ABC):
    """One thing that can be done. ``permission`` is "change" or "delete", of the page's model."""

    name: ClassVar[str]
    permission: ClassVar[str] = "change"
    flag: ClassVar[int] = CHANGE
    form_class: ClassVar[type[forms.Form]]

    @abstractmethod
    def plan(self, form: forms.Form) -> ActionPlan:
        """Return what would be done; raise ``ValueError`` with a sentence where that is nothing sensible."""

    def preview(
        self, page: RedisPageAdmin, request: HttpRequest, connection: AdminConnection, form: forms.Form
    ) -> Preview:
        """Return what the server says beforehand about what would be done."""
        return Preview()

    @abstractmethod
    def perform(self, connection: AdminConnection, form: forms.Form) -> str | Unfinished:
        """Do it, or as much of it as one request can, and return a sentence about what was done."""

    def is_permitted(self, page: RedisPageAdmin, request: HttpRequest) -> bool:
        check = page.has_delete_permission if self.permission == "delete" else page.has_change_permission
        return page.has_view_or_change_permission(request) and check(request)

    def answer(self, page: RedisPageAdmin, request: HttpRequest, connection: AdminConnection) -> HttpResponse:
        """Ask for the confirmation, or do what has been confirmed and return to where the form came from."""
        form = self.form_class(request.POST)
        if not form.is_valid():
            raise ValueError(" ".join(_sentences(form)))
        plan = self.plan(form)
        if CONFIRMED not in request.POST:
            return self._confirmation(page, request, form, plan, self.preview(page, request, connection, form))
        self._log(request, plan, plan.note)
        try:
            done = self.perform(connection, form)
        except UpstashError as error:
            # Whether it was done may not be known, so the history keeps both.
            self._log(request, plan, _("Not known to be done: %(cause)s") % {"cause": page.cause_of(request, error)})
            raise
        if isinstance(done, Unfinished):
            page.message_user(request, done.text, messages.SUCCESS)
            return self._confirmation(page, request, self.form_class(done.rest), plan, Preview())
        page.message_user(request, done, messages.SUCCESS)
        return HttpResponseRedirect(page.back(request))

    def _confirmation(
        self, page: RedisPageAdmin, request: HttpRequest, form: forms.Form, plan: ActionPlan, preview: Preview
    ) -> HttpResponse:
        context = {
            **page.base_context(request),
            "title": plan.title,
            "plan": plan,
            "sentences": [*preview.sentences, *plan.sentences],
            "rows": preview.rows,
            "form": form,
            "action_url": page.action_url(self.name),
            "confirmed": CONFIRMED,
            "back": page.back(request),
        }
        return TemplateResponse(request, page.confirm_template, context)

    def _log(self, request: HttpRequest, plan: ActionPlan, note: str) -> None:
        user: Any = request.user
        LogEntry.objects.log_actions(user.pk, list(plan.objects), self.flag, escaped(note))


def _sentences(form: forms.Form) -> Iterable[str]:
    for name, errors in form.errors.items():
        label = form.fields[name].label if name in form.fields else None
        yield from (f"{label}: {error}" if label else str(error) for error in errors)
