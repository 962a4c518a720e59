"""What is said about a client that somebody has named by typing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.utils.translation import gettext as _

from django_upstash.admin.formatting import number
from django_upstash.diagnostics.formatting import escaped, shortened
from django_upstash.ratelimit.report.clients import NameKind, kind_of, network_of

_LONGEST = 200


def broken_words(typed: str) -> str:
    """Return why a name is refused that means to be an address."""
    return _(
        "“%(typed)s” is no address and no network, so nobody would be blocked: write one, such as 203.0.113.7 or "
        "203.0.113.0/24, without a port."
    ) % {"typed": _shown(typed)}


def named_words(typed: str, stored: str) -> str:
    """Return what was typed, what it is taken for, and how it is stored."""
    words = {"typed": _shown(typed), "stored": escaped(stored)}
    kind = kind_of(typed)
    if kind is NameKind.USER:
        return _("You typed “%(typed)s”: a user.") % words
    if kind is NameKind.NETWORK:
        found = network_of(typed)
        count = number(found.num_addresses) if found is not None else ""
        return _("You typed “%(typed)s”: the network %(stored)s, of %(count)s addresses.") % {**words, "count": count}
    if kind is NameKind.ADDRESS:
        return _("You typed “%(typed)s”: the address %(stored)s.") % words
    return (
        _(
            "You typed “%(typed)s”: neither an address nor user:<pk>. It is taken for a token, an e-mail address or "
            "another name that the site counts by, and stored as the digest %(stored)s."
        )
        % words
    )


def uncounted_words() -> str:
    """Return what is said of a client without counters."""
    return _("No counter of this client exists in the scopes that this process knows: is the name right?")


def noted(sentence: str, label: str) -> str:
    """Return a line of the history, with how the client was named."""
    return f"{sentence} “{label}”" if label else sentence


def _shown(typed: str) -> str:
    return shortened(escaped(typed), _LONGEST)


def clients_words(clients: Sequence[tuple[str, str]], labels: Mapping[str, str]) -> str:
    """Return clients in words, no more of them than a sentence can hold; ``labels`` are by stored identity."""
    named_ones = ", ".join(_client_words(stored, labels.get(stored, "")) for _tenant, stored in clients[:10])
    return named_ones if len(clients) <= 10 else f"{named_ones}, …"


def _client_words(stored: str, label: str) -> str:
    return escaped(stored) if label in ("", stored) else f"“{label}” ({escaped(stored)})"
