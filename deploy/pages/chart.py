"""Lay out a chart of windows: where each bar, gridline and label goes.

Pure geometry; the template draws it as inline SVG. Across, places are percentages, so that one drawing fits a phone and
a desk without scaling its letters; down, they are pixels. Floats are fine here: nobody is billed from a picture, and
the exact figures stand in each bar's title and in the table below.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from zoneinfo import ZoneInfo

from deploy.pages.clock_text import axis_text
from deploy.pages.quantities import compact
from metering.windows import Granularity
from metering.zones import wall_of

PLOT_HEIGHT = 240
TOP = 14
TICKS_WANTED = 4
LABELS_MAX = 9
NARROW_LABELS_MAX = 4
_GAP_SHARE = 0.22
_SLIVER = 1.5

_STRIDES = {
    Granularity.HOUR: (1, 2, 3, 6, 12, 24, 48, 72, 168),
    Granularity.DAY: (1, 2, 7, 14, 28, 56, 84, 168, 336),
    Granularity.MONTH: (1, 2, 3, 6, 12, 24, 60, 120, 240),
}


@dataclass(frozen=True, slots=True)
class Point:
    """One window's figure. `value` None: there is none. `open`: the window is not over, so it may still grow."""

    start_us: int
    value: Decimal | None
    title: str
    link: str
    open: bool


@dataclass(frozen=True, slots=True)
class Bar:
    """A column of the chart: the bar, and the full height around it that shows its title."""

    left: str
    width: str
    column_left: str
    column_width: str
    top: float
    height: float
    title: str
    link: str
    open: bool


@dataclass(frozen=True, slots=True)
class Gridline:
    """A horizontal line and what it stands for."""

    y: float
    label: str
    is_zero: bool


@dataclass(frozen=True, slots=True)
class AxisLabel:
    """A label under the chart. `narrow`: it is also shown on a phone."""

    x: str
    anchor: str
    first_line: str
    second_line: str
    narrow: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything that is drawn."""

    height: int
    bars: Sequence[Bar]
    gridlines: Sequence[Gridline]
    labels: Sequence[AxisLabel]


def lay_out(points: Sequence[Point], granularity: Granularity, zone: ZoneInfo, *, whole: bool) -> Chart:
    """Place bars for points in ascending order. `whole`: the figures are counts, so no gridline lies between two."""
    values = [point.value for point in points if point.value is not None]
    low, high = min(values, default=Decimal(0)), max(values, default=Decimal(0))
    ticks = ticks_between(min(low, Decimal(0)), max(high, Decimal(0)), whole=whole)
    bottom, top = ticks[0], ticks[-1]

    def down(value: Decimal) -> float:
        return TOP + PLOT_HEIGHT * float((top - value) / (top - bottom))

    return Chart(
        height=TOP + PLOT_HEIGHT,
        bars=[_bar(index, len(points), point, down) for index, point in enumerate(points)],
        gridlines=[Gridline(round(down(tick), 2), compact(tick), tick == 0) for tick in ticks],
        labels=axis_labels(points, granularity, zone),
    )


def sparkline(values: Sequence[int], height: int) -> list[tuple[str, str, float, float]]:
    """Give left, width, top and height of the bars of a small chart without axes."""
    most = max([1, *values])
    step = 100 / max(1, len(values))
    out = []
    for index, value in enumerate(values):
        tall = round(height * value / most, 2)
        out.append((percent(index * step), percent(step * (1 - _GAP_SHARE)), round(height - tall, 2), tall))
    return out


def _bar(index: int, count: int, point: Point, down: Callable[[Decimal], float]) -> Bar:
    step = 100 / count
    zero = down(Decimal(0))
    end = zero if point.value is None else down(point.value)
    height = abs(end - zero)
    if point.value is not None and point.value != 0:
        height = max(height, _SLIVER)  # What is there is seen, however small beside the others.
    return Bar(
        left=percent(step * (index + _GAP_SHARE / 2)),
        width=percent(step * (1 - _GAP_SHARE)),
        column_left=percent(step * index),
        column_width=percent(step),
        top=round(zero - height if end <= zero else zero, 2),
        height=round(height, 2),
        title=point.title,
        link=point.link,
        open=point.open,
    )


def ticks_between(low: Decimal, high: Decimal, *, whole: bool) -> list[Decimal]:
    """Give round numbers that enclose both; zero is one of them."""
    if low == high:
        high = Decimal(1)
    rough = (high - low) / TICKS_WANTED
    unit = Decimal(1).scaleb(rough.adjusted())
    step = next(unit * factor for factor in (1, 2, Decimal("2.5"), 5, 10) if unit * factor >= rough)
    if whole:
        step = max(Decimal(1), step.to_integral_value())
    first, last = (low / step).to_integral_value("ROUND_FLOOR"), (high / step).to_integral_value("ROUND_CEILING")
    return [step * number for number in range(int(first), int(last) + 1)]


def axis_labels(points: Sequence[Point], granularity: Granularity, zone: ZoneInfo) -> list[AxisLabel]:
    """Choose windows to be named under the chart, and place their names."""
    walls = [wall_of(point.start_us, zone) for point in points]
    if granularity is Granularity.HOUR:
        places = [wall.date().toordinal() * 24 + wall.hour for wall in walls]
    elif granularity is Granularity.DAY:
        places = [wall.date().toordinal() - 1 for wall in walls]
    else:
        places = [wall.year * 12 + wall.month - 1 for wall in walls]
    chosen: list[int] = []
    for stride in _STRIDES[granularity]:
        chosen = [index for index, place in enumerate(places) if place % stride == 0]
        if len(chosen) <= LABELS_MAX:
            break
    chosen = chosen or [0] if points else []
    every = -(-len(chosen) // NARROW_LABELS_MAX) if chosen else 1
    step = 100 / max(1, len(points))
    labels = []
    for number, index in enumerate(chosen):
        first_line, second_line = axis_text(points[index].start_us, granularity, zone)
        x = step * (index + 0.5)
        anchor = "start" if x < 4 else "end" if x > 96 else "middle"
        labels.append(AxisLabel(percent(x), anchor, first_line, second_line, number % every == 0))
    return labels


def percent(share: float) -> str:
    """Write a place across."""
    return f"{share:.4f}".rstrip("0").rstrip(".") + "%"
