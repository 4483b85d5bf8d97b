"""What a price comes to over a range of quantities, by the very code that answers `POST /v1/prices/preview`.

Between two neighbouring quantities the curve is drawn straight, so all places where an amount jumps or bends are among
them: each bound of a tier and each edge of a pack, with what lies just before and just after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from typing import Any

from billing.api.refusals import answered
from billing.money import MONEY
from billing.pricing.bps import PER_EVENT_FIELDS
from billing.pricing.preview import preview
from metering.http.problem import ApiError, Fault

EVENLY = 125
_STEP = Decimal("0.008")
EDGES_MAX = 200
"""More packs than this are narrower than a pen: they are sampled like any other stretch."""
SAMPLES_MAX = 60
_HAIR = Decimal("1e-12")
_FINEST = Decimal("1e-18")
_ROUNDING = Context(prec=60, rounding=ROUND_HALF_UP)
_OPEN_SHARE = Decimal("1.5")
_PACKS_SHOWN = 10
_UNITS_SHOWN = Decimal(100)
_VALUE_SHOWN = Decimal(100_000)
_END_MAX = Decimal(10) ** 19


@dataclass(frozen=True, slots=True)
class Tier:
    """A part of an amount, in minor units; `adjustment` names what is no tier."""

    lower: Decimal | None
    upper: Decimal | None
    quantity: Decimal | None
    amount: int
    adjustment: str | None


@dataclass(frozen=True, slots=True)
class Sample:
    """What a quantity comes to, in minor units. `side`: -1 just below the place, 1 just above it."""

    place: Decimal
    side: int
    amount: int
    tiers: Sequence[Tier]


@dataclass(frozen=True, slots=True)
class Curve:
    """Samples in ascending order; `marked` are those worth a word. `per_event`: places are values of one event."""

    samples: Sequence[Sample]
    marked: Sequence[Sample]
    bounds: Sequence[Decimal]
    end: Decimal
    per_event: bool


def draw_curve(rows: Sequence[Mapping[str, Any]], currency: str, up_to: Any = None) -> Curve:
    """Rate quantities from 0 to `up_to`, or as far as the rows make interesting.

    Raises:
        ApiError: 400 with every fault of rows, currency and `up_to`; 422 for an amount beyond 64 bits.
    """
    per_event = any(row.get(name) is not None for row in rows for name in PER_EVENT_FIELDS)
    _rated(rows, currency, [Decimal(0)], per_event=per_event)
    with localcontext(MONEY):
        bounds = [Decimal(row["to"]) for row in rows if row.get("to") is not None]
        end = _end(rows, bounds) if up_to is None else _checked(up_to)
        seen = [bound for bound in bounds if bound < end]
        turns = sorted({Decimal(0), *seen, *_edges(rows, bounds, end)})
        places = {_placed(end * step * _STEP) for step in range(1, EVENLY)}
        asked = {(place, 0) for place in {*turns, *places, end}}
        asked |= {(turn, side) for turn in turns for side in (-1, 1) if turn + side * _HAIR > 0}
        ordered = sorted(asked)
        quantities = [place + side * _HAIR for place, side in ordered]
    amounts = _rated(rows, currency, quantities, per_event=per_event)
    samples = [
        Sample(place, side, amount["amount"], [_tier(tier) for tier in amount["tiers"]])
        for (place, side), amount in zip(ordered, amounts, strict=True)
    ]
    return Curve(samples, _marked(samples, [Decimal(0), *seen, end]), seen, end, per_event)


def _rated(
    rows: Sequence[Mapping[str, Any]], currency: str, quantities: Sequence[Decimal], *, per_event: bool
) -> list[dict[str, Any]]:
    request = {"currency": currency, "prices": list(rows)}
    with answered():
        if per_event:
            return [preview({**request, "events": [value]})["amounts"][0] for value in quantities]
        amounts: list[dict[str, Any]] = preview({**request, "quantities": list(quantities)})["amounts"]
        return amounts


def _checked(up_to: Any) -> Decimal:
    if isinstance(up_to, int | Decimal) and 0 < up_to <= _END_MAX:
        return Decimal(up_to)
    message = "up_to: send a number above 0, and at most 10^19"
    raise ApiError(400, message, [Fault("out_of_range", ("up_to",), message)])


def _placed(place: Decimal) -> Decimal:
    """Give a place with so many decimals as a quantity may have."""
    return place.quantize(_FINEST, context=_ROUNDING)


def _end(rows: Sequence[Mapping[str, Any]], bounds: Sequence[Decimal]) -> Decimal:
    if bounds:
        return min(_placed(bounds[-1] * _OPEN_SHARE), _END_MAX)
    if rows[0]["type"] == "bps":
        return _VALUE_SHOWN
    return min(max(Decimal(rows[0].get("unit_count") or 1) * _PACKS_SHOWN, _UNITS_SHOWN), _END_MAX)


def _edges(rows: Sequence[Mapping[str, Any]], bounds: Sequence[Decimal], end: Decimal) -> list[Decimal]:
    """Give where one pack ends and the next begins, unless they are too many to be seen."""
    if rows[0]["type"] not in {"packaged", "bundle"}:
        return []
    out: list[Decimal] = []
    for row, lower, upper in zip(rows, [Decimal(0), *bounds], [*bounds, end], strict=True):
        pack = Decimal(row.get("unit_count") or 1)
        count = int((min(upper, end) - lower) // pack) if lower < end else 0
        if len(out) + count > EDGES_MAX:
            return out
        out.extend(lower + pack * number for number in range(1, count + 1))
    return [edge for edge in out if edge < end]


def _marked(samples: Sequence[Sample], turns: Sequence[Decimal]) -> list[Sample]:
    """Choose the turns, and the sides of each from which it is reached by a jump; between two, what lies halfway."""
    by_place: dict[Decimal, list[Sample]] = {}
    for sample in samples:
        by_place.setdefault(sample.place, []).append(sample)
    out: list[Sample] = []
    places = [place for place in by_place if len(by_place[place]) == 1]
    for index, turn in enumerate(turns):
        if index:
            between = [place for place in places if turns[index - 1] < place < turn]
            if between:
                out.extend(by_place[between[len(between) // 2]])
        exact = next(sample for sample in by_place[turn] if not sample.side)
        out.extend(sample for sample in by_place[turn] if not sample.side or abs(sample.amount - exact.amount) > 1)
    return out if len(out) <= SAMPLES_MAX else [sample for sample in out if sample.place in turns][:SAMPLES_MAX]


def _tier(tier: Mapping[str, Any]) -> Tier:
    def number(name: str) -> Decimal | None:
        return None if tier.get(name) is None else Decimal(tier[name])

    return Tier(number("from"), number("to"), number("quantity"), tier["amount"], tier.get("adjustment"))
