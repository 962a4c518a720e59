"""Rates as limits take them: they are read in ``django_upstash.rates``, which system checks import without the rest."""

from __future__ import annotations

from django_upstash.rates import LONGEST_PERIOD, MOST, Rate, check_limit, check_rate, parse_rate, shown

__all__ = ["LONGEST_PERIOD", "MOST", "Rate", "check_limit", "check_rate", "parse_rate", "shown"]
