"""What a visitor can send."""

from __future__ import annotations

from django import forms
from django.conf import settings


class NoteForm(forms.Form):
    """A text, and the cache to write it to; the button pressed says which."""

    text = forms.CharField(max_length=200)
    over = forms.ChoiceField(choices=lambda: [(alias, alias) for alias in settings.CACHES])
