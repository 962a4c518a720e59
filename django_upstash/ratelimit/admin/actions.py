"""What can be done about rate limits: reset counters, block and unblock clients, change limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, cast

from django import forms
from django.contrib.admin.models import DELETION
from django.http import HttpRequest, QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_upstash.admin.actions import Action, Plan, Preview, Unfinished
from django_upstash.admin.formatting import counters_words, duration, policy_words
from django_upstash.admin.pages import RedisPageAdmin
from django_upstash.diagnostics.admin_connection import Sight
from django_upstash.diagnostics.formatting import escaped
from django_upstash.models import RateLimitCounter
from django_upstash.ratelimit.admin.client_words import broken_words, named_words, noted, uncounted_words
from django_upstash.ratelimit.admin.rows import rows
from django_upstash.ratelimit.keys import key_prefix
from django_upstash.ratelimit.policy_registry import catalogue
from django_upstash.ratelimit.rates import MOST
from django_upstash.ratelimit.report import changes
from django_upstash.ratelimit.report.clients import NameKind, kind_of, label_of, network_of
from django_upstash.ratelimit.report.counters import Search, find, named, read
from django_upstash.ratelimit.rules import listed_name
from django_upstash.ratelimit.stored import StoredLimit
from django_upstash.settings.admin import admin_settings

MOST_SELECTED = 200
FOR_GOOD, USUAL = 0, 3600
DURATIONS = [
    (300, gettext_lazy("5 minutes")),
    (3600, gettext_lazy("1 hour")),
    (86_400, gettext_lazy("1 day")),
    (604_800, gettext_lazy("1 week")),
    (FOR_GOOD, gettext_lazy("until unblocked")),
]


def whole_scope(tenant: str, scope: str) -> str:
    """Return the name under which the history keeps what concerns a whole scope."""
    return f"{key_prefix(tenant, scope)}*"


def whole_client(tenant: str, stored: str) -> str:
    """Return the name under which the history keeps what concerns a client in every scope."""
    return f"{key_prefix(tenant, 'x')[:-2]}*:{stored}"


def logged(keys: Sequence[str]) -> list[RateLimitCounter]:
    # A database may refuse what no eye can see.
    return [RateLimitCounter(key=escaped(key)) for key in keys]


class Keys(forms.Field):
    """The names of counters, as the page's boxes send them."""

    widget = forms.MultipleHiddenInput

    def to_python(self, value: Any) -> list[StoredLimit]:
        return [stored for key in (value or [])[:MOST_SELECTED] if (stored := named(key)) is not None]

    def validate(self, value: Any) -> None:
        if self.required and not value:
            raise forms.ValidationError(_("Select a counter first."))


class SelectionForm(forms.Form):
    """Selected counters."""

    selected = Keys(label="")


class ScopeForm(forms.Form):
    """A scope of a tenant, and where a reset of it goes on."""

    tenant = forms.CharField(widget=forms.HiddenInput, strip=False)
    scope = forms.CharField(widget=forms.HiddenInput, strip=False)
    cursor = forms.RegexField(r"\A\d{1,20}\Z", widget=forms.HiddenInput, required=False)


class ClientsForm(forms.Form):
    """Selected counters' clients, or one client by name: an identity, an address or a network; or as it is stored."""

    selected = Keys(required=False, label="")
    tenant = forms.CharField(widget=forms.HiddenInput, required=False, strip=False)
    identity = forms.CharField(
        label=gettext_lazy("Client"), widget=forms.HiddenInput, required=False, max_length=2000, strip=True
    )
    stored = forms.CharField(widget=forms.HiddenInput, required=False, max_length=200, strip=False)
    note = forms.CharField(widget=forms.HiddenInput, required=False, max_length=200, strip=False)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors and not self.clients(cleaned):
            raise forms.ValidationError(_("Select a client, or name one."))
        return cleaned

    def clients(self, cleaned: dict[str, Any]) -> list[tuple[str, str]]:
        """Return the tenants and the stored identities."""
        selected = [(one.tenant, one.identity) for one in cleaned.get("selected") or []]
        identity, tenant = cleaned.get("identity") or "", cleaned.get("tenant") or ""
        if tenant and cleaned.get("stored"):
            selected.append((tenant, str(cleaned["stored"])))
        elif tenant and identity:
            selected.append((tenant, listed_name(identity)))
        return list(dict.fromkeys(selected))

    @property
    def typed(self) -> str:
        """The name of a client that somebody has typed, empty where none is."""
        return "" if self.cleaned_data.get("stored") else str(self.cleaned_data.get("identity") or "")

    def labels(self) -> dict[str, str]:
        """Return how clients were named, by stored identity; what may be a secret is masked."""
        given = self.cleaned_data
        if self.typed:
            return {listed_name(self.typed): label_of(self.typed)}
        return {str(given["stored"]): escaped(given["note"])} if given.get("stored") and given.get("note") else {}

    def words(self) -> str:
        """Return the clients in words, as they were named and as they are stored."""
        return clients_words(self.clients(self.cleaned_data), self.labels())

    def objects(self) -> list[RateLimitCounter]:
        """Return whose history it is: the counters that were selected, or else the client as such."""
        keys = [one.key for one in self.cleaned_data["selected"]]
        return logged(keys or [whole_client(*client) for client in self.clients(self.cleaned_data)])


class BlockForm(ClientsForm):
    """Clients, and for how long to refuse them."""

    seconds = forms.TypedChoiceField(label=gettext_lazy("Block for"), choices=DURATIONS, coerce=int)

    def __init__(self, data: QueryDict) -> None:
        # Who has selected clients has not been asked yet for how long.
        given = data.copy()
        given.setdefault("seconds", str(USUAL))
        super().__init__(given)

    def clean_identity(self) -> str:
        identity = str(self.cleaned_data["identity"])
        if identity and kind_of(identity) is NameKind.BROKEN:
            raise forms.ValidationError(broken_words(identity))
        return identity


class LimitForm(forms.Form):
    """Another limit for a scope, or for one client in it; none takes the change back."""

    tenant = forms.CharField(widget=forms.HiddenInput, strip=False)
    scope = forms.CharField(widget=forms.HiddenInput, strip=False)
    stored = forms.CharField(widget=forms.HiddenInput, required=False, max_length=200, strip=False)
    limit = forms.IntegerField(
        label=gettext_lazy("New limit"), min_value=0, max_value=MOST, required=False, widget=forms.HiddenInput
    )


class SelectionAction(Action):
    """An action on selected counters or on their clients; the confirmation shows them as they are."""

    def preview(self, page: RedisPageAdmin, request: HttpRequest, sight: Sight, form: forms.Form) -> Preview:
        selected: list[StoredLimit] = form.cleaned_data["selected"]
        if not selected:
            return Preview()
        reading = sight.spending.run(read(sight.memory, selected))
        return Preview(rows=rows(page, request, reading.counters, ""))


class Reset(SelectionAction):
    """Removes selected counters."""

    name = "reset"
    permission = "delete"
    flag = DELETION
    form_class = SelectionForm

    def plan(self, form: forms.Form) -> Plan:
        selected: list[StoredLimit] = form.cleaned_data["selected"]
        return Plan(
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

    def perform(self, sight: Sight, form: forms.Form) -> str:
        keys = [one.key for one in form.cleaned_data["selected"]]
        removed = sight.spending.run(changes.reset(sight.memory, keys))
        return _("Removed: %(counters)s.") % {"counters": counters_words(removed)}


class ResetScope(Action):
    """Removes the counters of a scope, so many at a time."""

    name = "reset-scope"
    permission = "delete"
    flag = DELETION
    form_class = ScopeForm

    def plan(self, form: forms.Form) -> Plan:
        tenant, scope = form.cleaned_data["tenant"], form.cleaned_data["scope"]
        sentences = [
            _("Every counter of the scope “%(scope)s” of the tenant “%(tenant)s” will be removed.")
            % {"scope": scope, "tenant": tenant},
            _("At most %(pages)s pages of keys are looked at in one go; where there are more, you can go on.")
            % {"pages": admin_settings().scan_pages},
            followed(),
        ]
        return Plan(
            title=_("Reset a whole scope?"),
            sentences=sentences,
            button=_("Yes, reset the scope"),
            objects=logged([whole_scope(tenant, scope)]),
            note=_("Reset the whole scope."),
            is_destructive=True,
        )

    def perform(self, sight: Sight, form: forms.Form) -> str | Unfinished:
        settings = admin_settings()
        removed, found = changes.reset_found(
            sight.spending, sight.memory, self._search(form), settings.scan_pages, settings.timeout
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

    def preview(self, page: RedisPageAdmin, request: HttpRequest, sight: Sight, form: forms.Form) -> Preview:
        settings = admin_settings()
        found = find(sight.spending, sight.memory, self._search(form), settings.scan_pages, settings.timeout)
        counted = counters_words(len(found.stored))
        if found.cursor == "0":
            return Preview([_("Found: %(counters)s.") % {"counters": counted}])
        return Preview([_("Found: at least %(counters)s; not all keys were looked at.") % {"counters": counted}])


class Block(SelectionAction):
    """Refuses clients for a time."""

    name = "block"
    form_class = BlockForm

    def preview(self, page: RedisPageAdmin, request: HttpRequest, sight: Sight, form: forms.Form) -> Preview:
        form = cast(BlockForm, form)
        if not form.typed:
            return super().preview(page, request, sight, form)
        sentences = [named_words(form.typed, listed_name(form.typed))]
        if network_of(form.typed) is not None:
            return Preview(sentences)
        names = Search(tenant=form.cleaned_data["tenant"], identity=form.typed).names
        found = sight.spending.run(read(sight.memory, names)).counters if names else []
        return Preview([*sentences, *([] if found else [uncounted_words()])], rows(page, request, found, ""))

    def plan(self, form: forms.Form) -> Plan:
        form = cast(BlockForm, form)
        time = _time_words(form.cleaned_data["seconds"])
        label = next(iter(form.labels().values()), "")
        return Plan(
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

    def perform(self, sight: Sight, form: forms.Form) -> str:
        form = cast(BlockForm, form)
        clients, seconds = form.clients(form.cleaned_data), form.cleaned_data["seconds"]
        for tenant, stored in by_tenant(clients):
            labels = {name: label for name, label in form.labels().items() if label != name}
            sight.spending.run(changes.block(sight.memory, tenant, stored, seconds or None, labels))
        words = {"time": _time_words(seconds), "clients": form.words()}
        return _("Blocked %(time)s: %(clients)s.") % words


class Unblock(SelectionAction):
    """Takes clients off the list of those to be refused."""

    name = "unblock"
    form_class = ClientsForm

    def plan(self, form: forms.Form) -> Plan:
        form = cast(ClientsForm, form)
        label = next(iter(form.labels().values()), "")
        return Plan(
            title=_("Unblock clients?"),
            sentences=[_("Only their limits will hold for them: %(clients)s.") % {"clients": form.words()}, followed()],
            button=_("Yes, unblock"),
            objects=form.objects(),
            note=noted(_("Unblocked."), label),
        )

    def perform(self, sight: Sight, form: forms.Form) -> str:
        form = cast(ClientsForm, form)
        clients = form.clients(form.cleaned_data)
        for tenant, stored in by_tenant(clients):
            sight.spending.run(changes.unblock(sight.memory, tenant, stored))
        return _("Unblocked: %(clients)s.") % {"clients": form.words()}


class ChangeLimit(Action):
    """Gives a scope, or one client in it, another limit."""

    name = "limit"
    form_class = LimitForm

    def plan(self, form: forms.Form) -> Plan:
        tenant, scope, stored, limit = self._asked(form)
        whom = _("%(client)s in the scope “%(scope)s”") if stored else _("every client in the scope “%(scope)s”")
        words = {"whom": whom % {"client": stored, "scope": scope}, "policy": self._policy_words(tenant, scope, limit)}
        return Plan(
            title=_("Change a limit?"),
            sentences=[_("From now on, %(whom)s may have: %(policy)s.") % words, followed()],
            button=_("Yes, change the limit"),
            objects=logged([key_prefix(tenant, scope) + stored if stored else whole_scope(tenant, scope)]),
            note=_("Limit: %(policy)s.") % words,
        )

    def perform(self, sight: Sight, form: forms.Form) -> str:
        tenant, scope, stored, limit = self._asked(form)
        sight.spending.run(changes.set_limit(sight.memory, tenant, scope, limit, stored or None))
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


def unknown_scope() -> str:
    return _("No limiter of this process has the scope, so its limit cannot be changed here: name it in LIMITERS.")


def by_tenant(clients: Sequence[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """Yield each tenant with the stored identities of its clients."""
    for tenant, group in groupby(sorted(clients), key=itemgetter(0)):
        yield tenant, [stored for _tenant, stored in group]


def clients_words(clients: Sequence[tuple[str, str]], labels: Mapping[str, str]) -> str:
    """Return clients in words, no more of them than a sentence can hold; ``labels`` are by stored identity."""
    named_ones = ", ".join(_client_words(stored, labels.get(stored, "")) for _tenant, stored in clients[:10])
    return named_ones if len(clients) <= 10 else f"{named_ones}, …"


def _client_words(stored: str, label: str) -> str:
    return escaped(stored) if label in ("", stored) else f"“{label}” ({escaped(stored)})"


def _time_words(seconds: int) -> str:
    return _("until unblocked") if seconds == FOR_GOOD else _("for %(time)s") % {"time": duration(seconds)}


ACTIONS: dict[str, Action] = {
    action.name: action for action in (Reset(), ResetScope(), Block(), Unblock(), ChangeLimit())
}
