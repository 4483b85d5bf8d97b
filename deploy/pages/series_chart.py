"""Lay out several series in one chart: a line each, and a column a window that names all of its figures.

Geometry as in `chart.py`: percent across, pixels down. A line is broken where a window has no figure. What is drawn
tells series apart by colour and by dashes; the figures stand in the table below.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from deploy.pages.chart import PLOT_HEIGHT, TOP, AxisLabel, Gridline, Point, axis_labels, percent, ticks_between
from deploy.pages.quantities import compact
from metering.ranges import Range
from metering.windows import Granularity

DOTS_MAX = 62
"""A chart of more windows has dots only where a point has no neighbour to be joined to."""


@dataclass(frozen=True, slots=True)
class Line:
    """One series: segments from `(x1, y1)` to `(x2, y2)`, and dots."""

    segments: Sequence[tuple[str, float, str, float]]
    dots: Sequence[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Column:
    """The full height of a window."""

    left: str
    width: str
    title: str
    link: str


@dataclass(frozen=True, slots=True)
class SeriesChart:
    """Everything that is drawn."""

    height: int
    lines: Sequence[Line]
    columns: Sequence[Column]
    gridlines: Sequence[Gridline]
    labels: Sequence[AxisLabel]


def lay_out_series(
    series: Sequence[Sequence[Decimal | None]],
    points: Sequence[Point],
    granularity: Granularity,
    shown: Range,
    *,
    whole: bool,
) -> SeriesChart:
    """Place series over the same windows; of `points`, their times, titles and links are used."""
    values = [value for one in series for value in one if value is not None]
    ticks = ticks_between(min([*values, Decimal(0)]), max([*values, Decimal(0)]), whole=whole)
    bottom, top = ticks[0], ticks[-1]
    step = 100 / max(1, len(points))

    def down(value: Decimal) -> float:
        return round(TOP + PLOT_HEIGHT * float((top - value) / (top - bottom)), 2)

    def line(values: Sequence[Decimal | None]) -> Line:
        placed = [None if one is None else (percent(step * (at + 0.5)), down(one)) for at, one in enumerate(values)]
        segments = [(*one, *two) for one, two in pairwise(placed) if one and two]
        around = [None, *placed, None]
        lonely = [one for at, one in enumerate(placed, start=1) if one and not around[at - 1] and not around[at + 1]]
        return Line(segments, [one for one in placed if one] if len(placed) <= DOTS_MAX else lonely)

    return SeriesChart(
        height=TOP + PLOT_HEIGHT,
        lines=[line(one) for one in series],
        columns=[
            Column(percent(step * index), percent(step), point.title, point.link) for index, point in enumerate(points)
        ],
        gridlines=[Gridline(down(tick), compact(tick), tick == 0) for tick in ticks],
        labels=axis_labels(points, granularity, shown.timezone),
    )
