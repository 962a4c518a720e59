"""What can be done about rate limits: reset counters, block and unblock clients, change limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import cast

from django import forms
from django.contrib.admin.models import DELETION
from django.http import HttpRequest, QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_upstash.admin.actions import Action, ActionPlan, Preview, Unfinished
from django_upstash.admin.formatting import duration
from django_upstash.admin.pages import RedisPageAdmin
from django_upstash.diagnostics.admin_connection import AdminConnection
from django_upstash.ratelimit.admin.client_words import named_words, noted, uncounted_words
from django_upstash.ratelimit.admin.forms import (
    FOR_GOOD,
    BlockForm,
    ClientsForm,
    LimitForm,
    ScopeForm,
    SelectionForm,
    unknown_scope,
)
from django_upstash.ratelimit.admin.history import logged, whole_scope
from django_upstash.ratelimit.admin.rows import rows
from django_upstash.ratelimit.admin.words import counters_words, policy_words
from django_upstash.ratelimit.keys import key_prefix
from django_upstash.ratelimit.policy_registry import catalogue
from django_upstash.ratelimit.report import changes
from django_upstash.ratelimit.report.clients import network_of
from django_upstash.ratelimit.report.counters import Search, find, read
from django_upstash.ratelimit.rules import listed_name
from django_upstash.ratelimit.server import memory_for
from django_upstash.ratelimit.stored import StoredLimit
from django_upstash.settings.admin import admin_settings


class SelectionAction(Action):
    """An action on selected counters or on their clients; the confirmation shows them as they are."""

    def preview(
        self, page: RedisPageAdmin, request: HttpRequest, connection: AdminConnection, form: forms.Form
    ) -> Preview:
        selected: list[StoredLimit] = form.cleaned_data["selected"]
        if not selected:
            return Preview()
        reading = connection.spending.run(read(memory_for(connection.alias), selected))
        return Preview(rows=rows(page, request, reading.counters, ""))


class Reset(SelectionAction):
    """Removes selected counters."""

    name = "reset"
    permission = "delete"
    flag = DELETION
    form_class = SelectionForm

    def plan(self, form: forms.Form) -> ActionPlan:
        selected: list[StoredLimit] = form.cleaned_data["selected"]
        return ActionPlan(
            title=_("Reset counters?"),
            sentences=[
                ngettext(
                    "%(count)s counter will be removed: its client can use its whole limit again at once.",
                    "%(count)s counters will be removed: their clients can use their whole limits again at once.",
                    len(selected),
                )
                % {"count": len(selected)},
                followed(),
            ],
            button=_("Yes, reset"),
            objects=logged([one.key for one in selected]),
            note=_("Reset."),
            is_destructive=True,
        )

    def perform(self, connection: AdminConnection, form: forms.Form) -> str:
        keys = [one.key for one in form.cleaned_data["selected"]]
        removed = connection.spending.run(changes.reset(memory_for(connection.alias), keys))
        return _("Removed: %(counters)s.") % {"counters": counters_words(removed)}


class ResetScope(Action):
    """Removes the counters of a scope, so many at a time."""

    name = "reset-scope"
    permission = "delete"
    flag = DELETION
    form_class = ScopeForm

    def plan(self, form: forms.Form) -> ActionPlan:
        tenant, scope = form.cleaned_data["tenant"], form.cleaned_data["scope"]
        sentences = [
            _("Every counter of the scope “%(scope)s” of the tenant “%(tenant)s” will be removed.")
            % {"scope": scope, "tenant": tenant},
            _("At most %(pages)s pages of keys are looked at in one go; where there are more, you can go on.")
            % {"pages": admin_settings().scan_pages},
            followed(),
        ]
        return ActionPlan(
            title=_("Reset a whole scope?"),
            sentences=sentences,
            button=_("Yes, reset the scope"),
            objects=logged([whole_scope(tenant, scope)]),
            note=_("Reset the whole scope."),
            is_destructive=True,
        )

    def perform(self, connection: AdminConnection, form: forms.Form) -> str | Unfinished:
        settings = admin_settings()
        removed, found = changes.reset_found(
            connection.spending,
            memory_for(connection.alias),
            self._search(form),
            settings.scan_pages,
            settings.timeout,
        )
        told = _("Removed: %(counters)s.") % {"counters": counters_words(removed)}
        if found.cursor == "0":
            return told
        rest = QueryDict(mutable=True)
        rest.update({**form.cleaned_data, "cursor": found.cursor})
        return Unfinished(f"{told} {_('There are more keys to look at: confirm again to go on.')}", rest)

    def _search(self, form: forms.Form) -> Search:
        return Search(
            tenant=form.cleaned_data["tenant"],
            scope=form.cleaned_data["scope"],
            cursor=form.cleaned_data["cursor"] or "0",
        )

    def preview(
        self, page: RedisPageAdmin, request: HttpRequest, connection: AdminConnection, form: forms.Form
    ) -> Preview:
        settings = admin_settings()
        found = find(
            connection.spending,
            memory_for(connection.alias),
            self._search(form),
            settings.scan_pages,
            settings.timeout,
        )
        counted = counters_words(len(found.stored))
        if found.cursor == "0":
            return Preview([_("Found: %(counters)s.") % {"counters": counted}])
        return Preview([_("Found: at least %(counters)s; not all keys were looked at.") % {"counters": counted}])


class Block(SelectionAction):
    """Refuses clients for a time."""

    name = "block"
    form_class = BlockForm

    def preview(
        self, page: RedisPageAdmin, request: HttpRequest, connection: AdminConnection, form: forms.Form
    ) -> Preview:
        form = cast(BlockForm, form)
        if not form.typed:
            return super().preview(page, request, connection, form)
        sentences = [named_words(form.typed, listed_name(form.typed))]
        if network_of(form.typed) is not None:
            return Preview(sentences)
        names = Search(tenant=form.cleaned_data["tenant"], identity=form.typed).names
        found = connection.spending.run(read(memory_for(connection.alias), names)).counters if names else []
        return Preview([*sentences, *([] if found else [uncounted_words()])], rows(page, request, found, ""))

    def plan(self, form: forms.Form) -> ActionPlan:
        form = cast(BlockForm, form)
        time = _time_words(form.cleaned_data["seconds"])
        label = next(iter(form.labels().values()), "")
        return ActionPlan(
            title=_("Block clients?"),
            sentences=[
                _("Refused in every scope of their tenant, whatever their limits: %(clients)s.")
                % {"clients": form.words()},
                followed(),
            ],
            button=_("Yes, block"),
            objects=form.objects(),
            note=noted(_("Blocked %(time)s.") % {"time": time}, label),
            is_destructive=True,
        )

    def perform(self, connection: AdminConnection, form: forms.Form) -> str:
        form = cast(BlockForm, form)
        clients, seconds = form.clients(form.cleaned_data), form.cleaned_data["seconds"]
        for tenant, stored in by_tenant(clients):
            labels = {name: label for name, label in form.labels().items() if label != name}
            connection.spending.run(
                changes.block(memory_for(connection.alias), tenant, stored, seconds or None, labels)
            )
        words = {"time": _time_words(seconds), "clients": form.words()}
        return _("Blocked %(time)s: %(clients)s.") % words


class Unblock(SelectionAction):
    """Takes clients off the list of those to be refused."""

    name = "unblock"
    form_class = ClientsForm

    def plan(self, form: forms.Form) -> ActionPlan:
        form = cast(ClientsForm, form)
        label = next(iter(form.labels().values()), "")
        return ActionPlan(
            title=_("Unblock clients?"),
            sentences=[_("Only their limits will hold for them: %(clients)s.") % {"clients": form.words()}, followed()],
            button=_("Yes, unblock"),
            objects=form.objects(),
            note=noted(_("Unblocked."), label),
        )

    def perform(self, connection: AdminConnection, form: forms.Form) -> str:
        form = cast(ClientsForm, form)
        clients = form.clients(form.cleaned_data)
        for tenant, stored in by_tenant(clients):
            connection.spending.run(changes.unblock(memory_for(connection.alias), tenant, stored))
        return _("Unblocked: %(clients)s.") % {"clients": form.words()}


class ChangeLimit(Action):
    """Gives a scope, or one client in it, another limit."""

    name = "limit"
    form_class = LimitForm

    def plan(self, form: forms.Form) -> ActionPlan:
        tenant, scope, stored, limit = self._asked(form)
        whom = _("%(client)s in the scope “%(scope)s”") if stored else _("every client in the scope “%(scope)s”")
        words = {"whom": whom % {"client": stored, "scope": scope}, "policy": self._policy_words(tenant, scope, limit)}
        return ActionPlan(
            title=_("Change a limit?"),
            sentences=[_("From now on, %(whom)s may have: %(policy)s.") % words, followed()],
            button=_("Yes, change the limit"),
            objects=logged([key_prefix(tenant, scope) + stored if stored else whole_scope(tenant, scope)]),
            note=_("Limit: %(policy)s.") % words,
        )

    def perform(self, connection: AdminConnection, form: forms.Form) -> str:
        tenant, scope, stored, limit = self._asked(form)
        connection.spending.run(changes.set_limit(memory_for(connection.alias), tenant, scope, limit, stored or None))
        return _("Changed: %(policy)s.") % {"policy": self._policy_words(tenant, scope, limit)}

    def _asked(self, form: forms.Form) -> tuple[str, str, str, int | None]:
        given = form.cleaned_data
        return given["tenant"], given["scope"], given["stored"], given["limit"]

    def _policy_words(self, tenant: str, scope: str, limit: int | None) -> str:
        policy = catalogue.policy(tenant, scope)
        if policy is None:
            if limit is None:
                return _("the limit of the code")
            raise ValueError(unknown_scope())
        return policy_words(policy if limit is None else policy.limited_to(limit))


def followed() -> str:
    return _("Every process of the site follows within five seconds.")


def by_tenant(clients: Sequence[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """Yield each tenant with the stored identities of its clients."""
    for tenant, group in groupby(sorted(clients), key=itemgetter(0)):
        yield tenant, [stored for _tenant, stored in group]


def _time_words(seconds: int) -> str:
    return _("until unblocked") if seconds == FOR_GOOD else _("for %(time)s") % {"time": duration(seconds)}


ACTIONS: dict[str, Action] = {
    action.name: action for action in (Reset(), ResetScope(), Block(), Unblock(), ChangeLimit())
}
