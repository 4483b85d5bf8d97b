"""How many customers pay how much less or more by a draft, as bars: percentages across, pixels down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from deploy.pages.chart import Gridline, percent, ticks_between
from deploy.pages.quantities import compact, quantity

HEIGHT = 140
TOP = 14
_GAP_SHARE = 0.12
_SLIVER = 1.5


@dataclass(frozen=True, slots=True)
class Step:
    """One bar: customers whose amount changes within a range. `gain`: they pay less."""

    left: str
    width: str
    column_left: str
    column_width: str
    top: float
    height: float
    title: str
    gain: bool


@dataclass(frozen=True, slots=True)
class Distribution:
    """Everything that is drawn; `text` says the same in words, empty where nobody is in any step."""

    height: int
    gridlines: Sequence[Gridline]
    steps: Sequence[Step]
    edges: Sequence[tuple[str, str]]
    text: str


def lay_out_steps(steps: Sequence[Mapping[str, Any]]) -> Distribution:
    """Place the steps of a comparison: from those who save most to those who pay more, then who paid nothing."""
    counts = [int(step["customers"]) for step in steps]
    ticks = ticks_between(Decimal(0), Decimal(max(counts)), whole=True)
    top = ticks[-1]

    def down(count: Decimal) -> float:
        return round(TOP + HEIGHT * float((top - count) / top), 2)

    share = 100 / len(steps)
    drawn, edges = [], []
    for index, (step, count) in enumerate(zip(steps, counts, strict=True)):
        y = min(down(Decimal(count)), TOP + HEIGHT - _SLIVER) if count else TOP + HEIGHT
        upper = step["up_to_percent"]
        drawn.append(
            Step(
                percent(share * (index + _GAP_SHARE / 2)),
                percent(share * (1 - _GAP_SHARE)),
                percent(share * index),
                percent(share),
                y,
                round(TOP + HEIGHT - y, 2),
                f"{range_text(step)}: {customers_text(count)}",
                upper is not None and upper <= 0,
            )
        )
        if upper is not None:
            edges.append((percent(share * (index + 1)), f"{'+' if upper > 0 else ''}{quantity(upper)}"))
    said = [step.title for step, count in zip(drawn, counts, strict=True) if count]
    return Distribution(
        TOP + HEIGHT,
        [Gridline(down(tick), compact(tick), tick == 0) for tick in ticks],
        drawn,
        edges,
        "; ".join(said),
    )


def range_text(step: Mapping[str, Any]) -> str:
    """Name a range of change; one without bounds is of those who paid nothing before."""
    lower, upper = step["above_percent"], step["up_to_percent"]
    if lower is None and upper is None:
        return "paid nothing before"
    if lower is None:
        return f"{quantity(-upper)} % less, or lower still"
    if upper is None:
        return f"over {quantity(lower)} % more"
    if upper <= 0:
        return f"under {quantity(-lower)} % less" if not upper else f"{quantity(-upper)} to {quantity(-lower)} % less"
    return f"{quantity(lower)} to {quantity(upper)} % more" if lower else f"up to {quantity(upper)} % more"


def customers_text(count: int) -> str:
    """Count customers in words."""
    return f"{quantity(count)} {'customer' if count == 1 else 'customers'}"
