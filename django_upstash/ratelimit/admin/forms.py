"""What an operator fills in before an action on rate limits."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_upstash.diagnostics.formatting import escaped
from django_upstash.models import RateLimitCounter
from django_upstash.ratelimit.admin.client_words import broken_words, clients_words
from django_upstash.ratelimit.admin.history import logged, whole_client
from django_upstash.ratelimit.rates import MOST
from django_upstash.ratelimit.report.clients import NameKind, kind_of, label_of
from django_upstash.ratelimit.report.counters import named
from django_upstash.ratelimit.rules import listed_name
from django_upstash.ratelimit.stored import StoredLimit

MOST_SELECTED = 200
FOR_GOOD, USUAL = 0, 3600
DURATIONS = [
    (300, gettext_lazy("5 minutes")),
    (3600, gettext_lazy("1 hour")),
    (86_400, gettext_lazy("1 day")),
    (604_800, gettext_lazy("1 week")),
    (FOR_GOOD, gettext_lazy("until unblocked")),
]


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


def unknown_scope() -> str:
    return _("No limiter of this process has the scope, so its limit cannot be changed here: name it in LIMITERS.")
