"""Policies, standings and times in the language of who reads them."""

from __future__ import annotations

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

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
_UNITS = (
    (86_400, gettext_lazy("%d d")),
    (3_600, gettext_lazy("%d h")),
    (60, gettext_lazy("%d min")),
    (1, gettext_lazy("%d s")),
)


def number(count: int) -> str:
    """Return a number with the separators of the reader's language."""
    return str(number_format(count, force_grouping=True))


def duration(seconds: float) -> str:
    """Return a time in its two largest units, never less than it is: ``1 d 3 h``, ``12 s``."""
    words, rest = list[str](), max(0, -int(-seconds // 1))
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            words.append(str(unit) % count)
        elif words:
            break
    return " ".join(words[:2]) or str(_UNITS[-1][1]) % 0


def policy_words(policy: Policy) -> str:
    """Return a policy as ``100 in 1 h``, without its algorithm."""
    if policy.algorithm == "leases":
        return number(policy.limit)
    return _("%(limit)s in %(period)s") % {"limit": number(policy.limit), "period": duration(policy.window)}


def counters_words(count: int) -> str:
    return ngettext("%(count)s counter", "%(count)s counters", count) % {"count": number(count)}


def cost_words(requests: int, commands: int) -> str:
    """Return what something costs: ``2 requests, 5 commands``."""
    asked = ngettext("%(count)s request", "%(count)s requests", requests) % {"count": number(requests)}
    sent = ngettext("%(count)s command", "%(count)s commands", commands) % {"count": number(commands)}
    return f"{asked}, {sent}"
