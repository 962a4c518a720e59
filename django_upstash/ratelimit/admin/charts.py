"""Bars as SVG draws them: places and heights in the units of a view box, no style."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.utils import timezone

from django_upstash.admin.formatting import number
from django_upstash.ratelimit.statistics import BUCKET_SECONDS, Stretch

WIDTH, HEIGHT = 720, 120
_GAP = 0.2


@dataclass(frozen=True)
class Bar:
    """What was allowed and denied in one stretch of time, and where it is drawn."""

    start: datetime
    allowed: int
    denied: int
    x: str
    width: str
    allowed_y: str
    allowed_height: str
    denied_y: str
    denied_height: str


@dataclass(frozen=True)
class Chart:
    """Bars over time, oldest first. ``highest`` is the value of the full height."""

    bars: Sequence[Bar]
    highest: int
    allowed: int
    denied: int
    view_box: str = f"0 0 {WIDTH} {HEIGHT}"

    @property
    def words(self) -> dict[str, str]:
        """The numbers as they are read."""
        return {name: number(getattr(self, name)) for name in ("allowed", "denied", "highest")}

    @property
    def first(self) -> Bar:
        return self.bars[0]

    @property
    def last(self) -> Bar:
        return self.bars[-1]


def chart(counts: Sequence[Stretch], now: float, seconds: int, most_bars: int = 48) -> Chart:
    """Return the bars of the last ``seconds`` before ``now``, in as many stretches of equal length as can be read."""
    step = BUCKET_SECONDS * -(-seconds // (BUCKET_SECONDS * most_bars))
    last = int(now) // step * step
    starts = range(last - (seconds // step - 1) * step, last + 1, step)
    allowed, denied = Counter[int](), Counter[int]()
    for one in counts:
        allowed[one.start // step * step] += one.allowed
        denied[one.start // step * step] += one.denied
    highest = max([allowed[start] + denied[start] for start in starts], default=0)
    bars = [
        _bar(place, len(starts), start, allowed[start], denied[start], highest) for place, start in enumerate(starts)
    ]
    return Chart(bars, highest, sum(bar.allowed for bar in bars), sum(bar.denied for bar in bars))


def _bar(place: int, count: int, start: int, allowed: int, denied: int, highest: int) -> Bar:
    pitch = WIDTH / count
    allowed_height, denied_height = (HEIGHT * number / max(highest, 1) for number in (allowed, denied))
    moment = timezone.localtime(datetime.fromtimestamp(start, UTC))
    return Bar(
        moment,
        allowed,
        denied,
        x=_written(place * pitch + pitch * _GAP / 2),
        width=_written(pitch * (1 - _GAP)),
        allowed_y=_written(HEIGHT - allowed_height),
        allowed_height=_written(allowed_height),
        denied_y=_written(HEIGHT - allowed_height - denied_height),
        denied_height=_written(denied_height),
    )


def _written(number: float) -> str:
    # Not localized: SVG reads a point.
    return f"{number:.2f}"
