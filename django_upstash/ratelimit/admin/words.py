"""Policies and standings in the reader's language."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_upstash.admin.formatting import duration, number
from django_upstash.ratelimit.policies import Policy
from django_upstash.ratelimit.report.counters import CounterStanding

ALGORITHMS = {
    "window": gettext_lazy("fixed window"),
    "sliding": gettext_lazy("sliding window"),
    "bucket": gettext_lazy("token bucket"),
    "leases": gettext_lazy("at the same time"),
}
STANDINGS = {
    CounterStanding.BLOCKED: gettext_lazy("Blocked"),
    CounterStanding.AT_LIMIT: gettext_lazy("At limit"),
    CounterStanding.NEAR: gettext_lazy("Near limit"),
    CounterStanding.BELOW: gettext_lazy("Below limit"),
    CounterStanding.UNKNOWN: gettext_lazy("Limit unknown"),
    CounterStanding.EXEMPT: gettext_lazy("Let pass"),
}


def policy_words(policy: Policy) -> str:
    """Return a policy as ``100 in 1 h``, without its algorithm."""
    if policy.algorithm == "leases":
        return number(policy.limit)
    return _("%(limit)s in %(period)s") % {"limit": number(policy.limit), "period": duration(policy.window)}


def counters_words(count: int) -> str:
    return ngettext("%(count)s counter", "%(count)s counters", count) % {"count": number(count)}
