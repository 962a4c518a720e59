"""Policies and standings in the reader's language."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_upstash.admin.formatting import duration, number
from django_upstash.ratelimit.policies import Policy
from django_upstash.ratelimit.report.counters import Standing

ALGORITHMS = {
    "window": gettext_lazy("fixed window"),
    "sliding": gettext_lazy("sliding window"),
    "bucket": gettext_lazy("token bucket"),
    "leases": gettext_lazy("at the same time"),
}
STANDINGS = {
    Standing.BLOCKED: gettext_lazy("Blocked"),
    Standing.AT_LIMIT: gettext_lazy("At limit"),
    Standing.NEAR: gettext_lazy("Near limit"),
    Standing.BELOW: gettext_lazy("Below limit"),
    Standing.UNKNOWN: gettext_lazy("Limit unknown"),
    Standing.EXEMPT: gettext_lazy("Let pass"),
}


def policy_words(policy: Policy) -> str:
    """Return a policy as ``100 in 1 h``, without its algorithm."""
    if policy.algorithm == "leases":
        return number(policy.limit)
    return _("%(limit)s in %(period)s") % {"limit": number(policy.limit), "period": duration(policy.window)}


def counters_words(count: int) -> str:
    return ngettext("%(count)s counter", "%(count)s counters", count) % {"count": number(count)}
