"""What can be done about circuit breakers: force a state, and release what is forced."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_upstash.admin.actions import Action, ActionPlan, Preview
from django_upstash.admin.formatting import duration
from django_upstash.admin.pages import RedisPageAdmin
from django_upstash.breaker.admin.rows import FORCED, STATES, BreakerRow, forced_words
from django_upstash.breaker.report import forcing, known_names, reading_of, releasing
from django_upstash.breaker.settings import breaker_setting, checked
from django_upstash.breaker.status import State
from django_upstash.diagnostics.admin_connection import AdminConnection
from django_upstash.diagnostics.formatting import escaped
from django_upstash.models import CircuitBreakerState
from django_upstash.operations.keys import percent_decoded, percent_encoded

UNTIL_RELEASED = 0
DURATIONS = [
    (300, gettext_lazy("5 minutes")),
    (3600, gettext_lazy("1 hour")),
    (86_400, gettext_lazy("1 day")),
    (604_800, gettext_lazy("1 week")),
    (UNTIL_RELEASED, gettext_lazy("until released")),
]


class BreakerForm(forms.Form):
    """A breaker, by the name that somebody has typed, or by ``key``, which is the name percent-encoded."""

    key = forms.CharField(widget=forms.HiddenInput, required=False, max_length=4000, strip=False)
    name = forms.CharField(
        label=gettext_lazy("Breaker"), widget=forms.HiddenInput, required=False, max_length=300, strip=True
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.breaker(cleaned):
            raise forms.ValidationError(_("Name a breaker."))
        return cleaned

    def breaker(self, cleaned: dict[str, Any]) -> str:
        """Return the name of the breaker, empty where none is given."""
        return percent_decoded(cleaned.get("key") or "") or cleaned.get("name") or ""


class ForceForm(BreakerForm):
    """A breaker, the state to be forced, and for how long."""

    state = forms.ChoiceField(
        label=gettext_lazy("State"), choices=[(str(one), STATES[one]) for one in FORCED], widget=forms.HiddenInput
    )
    seconds = forms.TypedChoiceField(
        label=gettext_lazy("For how long"),
        choices=DURATIONS,
        coerce=int,
        required=False,
        empty_value="3600",
        widget=forms.HiddenInput,
    )


class BreakerAction(Action):
    """An action on one breaker; the confirmation shows the state of its circuit."""

    form_class: ClassVar[type[forms.Form]] = BreakerForm

    def preview(
        self, page: RedisPageAdmin, request: HttpRequest, connection: AdminConnection, form: forms.Form
    ) -> Preview:
        found = connection.spending.run(reading_of(_breaker(form)))
        is_known = found.is_recorded or found.name in known_names(connection.alias)
        rows = [BreakerRow(found, page.object_url(percent_encoded(found.name)))]
        return Preview([] if is_known else [unknown(found.name)], rows)


class Force(BreakerAction):
    """Forces a state upon a breaker, for a time."""

    name = "force"
    form_class = ForceForm

    def plan(self, form: forms.Form) -> ActionPlan:
        state = State(form.cleaned_data["state"])
        words = {"breaker": escaped(_breaker(form)), "state": STATES[state], "time": _time_words(form)}
        return ActionPlan(
            title=_("Force a breaker?"),
            sentences=[
                _("The breaker “%(breaker)s” will be %(state)s, %(time)s.") % words,
                FORCED[state],
                followed(_breaker(form)),
            ],
            button=_("Yes, force it"),
            objects=[_logged(form)],
            note=_("%(state)s, %(time)s.") % {**words, "state": str(STATES[state]).capitalize()},
            is_destructive=state is State.FORCED_OPEN,
        )

    def perform(self, connection: AdminConnection, form: forms.Form) -> str:
        state, seconds = State(form.cleaned_data["state"]), int(form.cleaned_data["seconds"])
        capabilities = connection.spending.connection.capabilities
        found = connection.spending.run(forcing(capabilities, _breaker(form), state, seconds or None))
        return _("The breaker “%(breaker)s” is %(state)s, %(time)s.") % {
            "breaker": escaped(found.name),
            "state": STATES[found.state],
            "time": forced_words(found),
        }


class Release(BreakerAction):
    """Takes back what was forced."""

    name = "release"

    def plan(self, form: forms.Form) -> ActionPlan:
        words = {"breaker": escaped(_breaker(form))}
        return ActionPlan(
            title=_("Release a breaker?"),
            sentences=[
                _("Nothing will be forced upon the breaker “%(breaker)s”: it is closed then, and counts from zero.")
                % words,
                followed(_breaker(form)),
            ],
            button=_("Yes, release it"),
            objects=[_logged(form)],
            note=_("Released."),
        )

    def perform(self, connection: AdminConnection, form: forms.Form) -> str:
        found = connection.spending.run(releasing(connection.spending.connection.capabilities, _breaker(form)))
        return _("The breaker “%(breaker)s” is released.") % {"breaker": escaped(found.name)}


def unknown(name: str) -> str:
    """Return what is said of a breaker that may be a slip of the pen."""
    words = _(
        "No process has told of a breaker “%(breaker)s”, no setting names it, and this process has not used it: "
        "is the name right?"
    )
    return words % {"breaker": escaped(name)}


def followed(name: str) -> str:
    """Return how quickly processes pick up a forced state."""
    refresh = checked(breaker_setting(), name, {}).refresh
    if refresh is None:
        return _("Every process follows at its next failure, or when it would probe.")
    return _("Every process that makes calls follows within %(time)s.") % {"time": duration(refresh)}


def _breaker(form: forms.Form) -> str:
    return cast(BreakerForm, form).breaker(form.cleaned_data)


def _logged(form: forms.Form) -> CircuitBreakerState:
    return CircuitBreakerState(key=percent_encoded(_breaker(form)))


def _time_words(form: forms.Form) -> str:
    seconds = int(form.cleaned_data["seconds"])
    return _("until released") if seconds == UNTIL_RELEASED else _("for %(time)s") % {"time": duration(seconds)}


ACTIONS: dict[str, Action] = {action.name: action for action in (Force(), Release())}
