"""Lay out a curve of amounts over quantities, and bars of counts: percentages across, pixels down, as `chart` does.

Floats are fine here: nobody is billed from a picture, and exact figures stand in the titles and in the table below.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from babel.numbers import get_currency_symbol

from deploy.pages.chart import PLOT_HEIGHT, TOP, Gridline, percent, ticks_between
from deploy.pages.price_curve import Curve, Sample
from deploy.pages.quantities import compact, money, quantity

_SHORT_MONEY_MAX = 9


@dataclass(frozen=True, slots=True)
class Segment:
    """A straight piece of the curve."""

    x1: str
    y1: float
    x2: str
    y2: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A place that says what it is when pointed at or reached by keyboard."""

    x: str
    y: float
    anchor: str
    title: str


@dataclass(frozen=True, slots=True)
class AxisPlace:
    """A label under the chart. `narrow`: it is also shown on a phone."""

    x: str
    anchor: str
    text: str
    narrow: bool


@dataclass(frozen=True, slots=True)
class CurveChart:
    """Everything that is drawn. `bounds` are where tiers end."""

    height: int
    gridlines: Sequence[Gridline]
    segments: Sequence[Segment]
    marks: Sequence[Mark]
    bounds: Sequence[str]
    labels: Sequence[AxisPlace]


def lay_out_curve(curve: Curve, currency: str, exponent: int) -> CurveChart:
    """Place the curve; amounts are written in the currency's display form."""
    amounts = [Decimal(sample.amount) for sample in curve.samples]
    ticks = ticks_between(min(*amounts, Decimal(0)), max(*amounts, Decimal(0)), whole=True)
    bottom, top = ticks[0], ticks[-1]

    def down(amount: Decimal) -> float:
        return round(TOP + PLOT_HEIGHT * float((top - amount) / (top - bottom)), 2)

    def across(place: Decimal) -> float:
        return 100 * float(place / curve.end)

    spots = [(percent(across(sample.place)), down(Decimal(sample.amount))) for sample in curve.samples]
    marks = [
        Mark(
            percent(x := across(sample.place)),
            down(Decimal(sample.amount)),
            _anchor(x),
            f"{place_text(sample)}: {money(sample.amount, currency, exponent)}",
        )
        for sample in curve.marked
    ]
    return CurveChart(
        height=TOP + PLOT_HEIGHT,
        gridlines=[Gridline(down(tick), axis_money(int(tick), currency, exponent), tick == 0) for tick in ticks],
        segments=_segments(spots),
        marks=marks,
        bounds=[percent(across(bound)) for bound in curve.bounds],
        labels=_labels(curve.end, across),
    )


def place_text(sample: Sample) -> str:
    """Say which quantity a sample is of."""
    words = {-1: "just below ", 0: "", 1: "just over "}[sample.side]
    return words + quantity(sample.place)


def axis_money(minor_units: int, currency: str, exponent: int) -> str:
    """Give an amount for an axis: whole where it is short, else to three digits with the letter of its size."""
    full = money(minor_units, currency, exponent)
    if len(full) <= _SHORT_MONEY_MAX:
        return full
    symbol = get_currency_symbol(currency, "en")
    amount = compact(Decimal(minor_units).scaleb(-exponent))
    gap = "\N{NO-BREAK SPACE}" if symbol[-1].isalpha() else ""
    return f"{symbol}{gap}{amount}"


def _segments(spots: Sequence[tuple[str, float]]) -> list[Segment]:
    """Join neighbours; pieces of one level line are drawn as one."""
    out: list[Segment] = []
    for (x1, y1), (x2, y2) in pairwise(spots):
        if (x1, y1) == (x2, y2):
            continue
        if out and y1 == y2 == out[-1].y1 == out[-1].y2:
            out[-1] = Segment(out[-1].x1, y1, x2, y2)
        else:
            out.append(Segment(x1, y1, x2, y2))
    return out


def _labels(end: Decimal, across: Callable[[Decimal], float]) -> list[AxisPlace]:
    labels = []
    for number, tick in enumerate(ticks_between(Decimal(0), end, whole=False)):
        if tick <= end:
            x = across(tick)
            labels.append(AxisPlace(percent(x), _anchor(x), compact(tick), number % 2 == 0))
    return labels


def _anchor(x: float) -> str:
    return "start" if x < 12 else "end" if x > 88 else "middle"
