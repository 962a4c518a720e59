"""``redis_health key NAME``: one key, and a safe look at its value."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict

from django_upstash.diagnostics.failure import without_secrets
from django_upstash.diagnostics.formatting import counted, duration, escaped, size, table
from django_upstash.diagnostics.key import KeyDetails, inspect_key
from django_upstash.diagnostics.sections.section import DatabaseSection, Looking, Options, UsageError

_NOT_TOLD = "not told"


class KeySection(DatabaseSection):
    """Shows what one key is."""

    name = "key"
    help = "Show one key: type, TTL, size, encoding, and a preview that unpickles nothing and masks secrets."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("key", metavar="name", help="the key as it is stored, with prefix and version")
        super().add_arguments(parser)

    def look(self, looking: Looking, options: Options) -> None:
        # What the shell passes that is no UTF-8 is a name all the same.
        try:
            name = options["key"].encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise UsageError("The name has characters that UTF-8 cannot carry, so no key has it.") from error
        details = looking.connection.run(inspect_key(name))
        if details is None:
            missing = f"There is no key '{escaped(options['key'])}' on {looking.alias}."
            looking.fail(missing, "`redis_health keys` shows what there is.")
            return
        settings = looking.connection.settings
        details.preview = [without_secrets(line, settings) for line in details.preview]
        looking.show(asdict(details), _lines(looking, details))


def _lines(looking: Looking, details: KeyDetails) -> Iterator[str]:
    yield escaped(details.name)
    yield from (f"  {line}" for line in table(_facts(details), left=2))
    yield from (f"    {line}" for line in details.preview)
    if details.is_cut:
        yield "    …"
    yield f"  ({looking.cost})"


def _facts(details: KeyDetails) -> Iterator[tuple[str, str]]:
    yield "type", details.type
    yield "TTL", "none" if details.ttl_ms is None else duration(details.ttl_ms / 1000)
    yield "memory", _NOT_TOLD if details.memory is None else size(details.memory)
    yield "encoding", details.encoding or _NOT_TOLD
    if details.length is not None:
        yield "length", size(details.length) if details.type == "string" else counted(details.length, "element")
