"""
What a setting may say: the fields of a dataclass declare its keys, and everything else follows from them.

    @dataclass(frozen=True, kw_only=True)
    class ShopSettings:
        alias: str = option(text("E901"), "default")
        refresh: float | None = option(seconds("E902", least=1).or_none(), 5.0)

    SCHEMA = Schema("SHOP", ShopSettings, "E903", unknown_id="E904")

``SCHEMA.read()`` returns the setting checked and typed, ``SCHEMA.mistakes()`` what its system checks report. A key is
the upper-case form of its field's name. docs/settings.md has a row for each, which a test compares.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import field, fields
from typing import Any, Generic, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from django_upstash.settings import conf
from django_upstash.settings.rules import Mistake, Rule, suggestion, value_mistakes

Settings = TypeVar("Settings")
_RULE = "rule"
_NOTHING: Mapping[str, Any] = {}


def option(rule: Rule, default: Any, **kwargs: Any) -> Any:
    """Return the field of a key: its rule and its default; ``kwargs`` are those of ``dataclasses.field``."""
    return field(default=default, metadata={_RULE: rule}, **kwargs)


class Schema(Generic[Settings]):
    """
    The setting ``name``, a dict whose keys are those of the dataclass ``kind``.

    ``id`` is the check of what is no dict, ``unknown_id`` that of an unknown key; with "", unknown keys are
    somebody else's. ``others`` are keys that are read elsewhere. ``contradictions`` yields what is
    wrong with values that are right by themselves.
    """

    def __init__(
        self,
        name: str,
        kind: type[Settings],
        id: str,
        hint: str = 'Write {"ALIAS": "default"}, or leave it out for the defaults.',
        *,
        unknown_id: str,
        others: Collection[str] = (),
        contradictions: Callable[[Settings, str], Iterator[Mistake]] | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.rules: dict[str, Rule] = {
            declared.name.upper(): declared.metadata[_RULE]
            for declared in fields(kind)  # type: ignore[arg-type]
            if _RULE in declared.metadata
        }
        self._id, self._hint = id, hint
        self._others = others
        self._unknown_id = unknown_id
        self._contradictions = contradictions
        self._read: tuple[Any, Any, Settings] | None = None
        setting_changed.connect(self._forget_changed)

    def read(self) -> Settings:
        """Return the setting typed; raise ``ImproperlyConfigured`` for the first mistake. Cheap: it is remembered."""
        given = conf.setting(self.name, _NOTHING)
        if self._read is not None and self._read[0] is given and self._read[1] == given:
            return self._read[2]
        found = self.checked(given)
        self._read = given, dict(given), found
        return found

    def checked(self, given: Any, where: str = "") -> Settings:
        """Return a dict typed; raise ``ImproperlyConfigured`` for the first mistake in it."""
        for mistake in self.mistakes(given, where):
            raise ImproperlyConfigured(str(mistake))
        return self.typed(given)

    def typed(self, given: Mapping[str, Any]) -> Settings:
        """Return a dict typed; it must be free of mistakes."""
        return self.kind(
            **{key.lower(): self.rules[key].typed(value) for key, value in given.items() if key in self.rules}
        )

    def site_mistakes(self) -> Iterator[Mistake]:
        """Yield what is wrong with the setting as the site has it."""
        return self.mistakes(conf.setting(self.name, _NOTHING))

    def mistakes(self, given: object, where: str = "") -> Iterator[Mistake]:
        """Yield what is wrong with a dict, which messages call ``where``: the name of the setting by default."""
        where = where or self.name
        if not isinstance(given, Mapping):
            yield Mistake(self._id, f"{where} must be a dict, not {type(given).__name__}.", self._hint)
            return
        found = [*self.key_mistakes(given, where)]
        yield from found
        if not found and self._contradictions is not None:
            yield from self._contradictions(self.typed(given), where)

    def key_mistakes(self, given: Mapping[Any, Any], where: str) -> Iterator[Mistake]:
        """Yield what is wrong with the keys of a dict and the value of each by itself."""
        for key, value in given.items():
            rule = self.rules.get(key) if isinstance(key, str) else None
            if rule is not None:
                yield from value_mistakes(rule, value, f'{where}["{key}"]')
            elif self._unknown_id and key not in self._others:
                hint = suggestion(key, [*self.rules, *self._others])
                yield Mistake(self._unknown_id, f"{where} has an unknown key {key!r}.", hint)

    def _forget_changed(self, *, setting: str, **kwargs: Any) -> None:
        if setting == self.name:
            self._read = None
