"""Numbers, times and costs in the reader's language."""

from __future__ import annotations

from django.utils.formats import number_format
from django.utils.translation import gettext_lazy, ngettext

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


def cost_words(requests: int, commands: int) -> str:
    """Return what something costs: ``2 requests, 5 commands``."""
    asked = ngettext("%(count)s request", "%(count)s requests", requests) % {"count": number(requests)}
    sent = ngettext("%(count)s command", "%(count)s commands", commands) % {"count": number(commands)}
    return f"{asked}, {sent}"
