"""What a credit product says of its credits: which usage draws on them, and how many each unit of it costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from metering.decimals import exact_number
from metering.http.fields import Fields

AGGREGATORS_MAX = 100
FIELD = "credit_aggregators"
_WEIGHT_MAX = 10**20


class GrantMode(StrEnum):
    """How many credits a period that is not whole comes with."""

    PRORATED = "prorated"
    FULL_ALLOWANCE = "full_allowance"


@dataclass(frozen=True, slots=True)
class CreditAggregator:
    """Usage that draws on credits: so many for each unit, an exact decimal above 0."""

    aggregator_id: str
    weight: Decimal


def read_credits(fields: Fields, *, held: bool, new: bool) -> dict[str, Any]:
    """Give the details of a credit product as they are kept; of no use if a fault was noted.

    A product that holds no credits has none, but what is sent has to be well formed.
    """
    details: dict[str, Any] = {}
    if fields.has(FIELD) or (held and new):
        details[FIELD] = _read_aggregators(fields, needed=held)
    if fields.has("low_credits_threshold"):
        details["low_credits_threshold"] = fields.number("low_credits_threshold", least=0, most=_WEIGHT_MAX)
    if fields.has("credits_grant_mode"):
        mode = fields.choice("credits_grant_mode", GrantMode)
        details["credits_grant_mode"] = None if mode is None else mode.value
    return details if held else {}


def credit_aggregators(details: Mapping[str, Any]) -> list[CreditAggregator]:
    """Give what was kept, in the order in which it was sent."""
    return [CreditAggregator(one["aggregator_id"], Decimal(one["weight"])) for one in details.get(FIELD) or ()]


def _read_aggregators(fields: Fields, *, needed: bool) -> Sequence[Mapping[str, Any]]:
    readers = fields.items(FIELD, items_max=AGGREGATORS_MAX)
    if not readers:
        if needed and not any(FIELD in fault.path for fault in fields.faults):
            fields.fault(FIELD, "required", "is needed: send an array of {aggregator_id, weight}, one at least")
        return ()
    out: list[Mapping[str, Any]] = []
    for reader in readers:
        aggregator_id = reader.name("aggregator_id", required=True)
        sent = reader.number("weight", least=0, most=_WEIGHT_MAX, required=True)
        weight = None if sent is None else exact_number(str(sent))
        if sent is not None and not weight:
            reader.fault("weight", "out_of_range", "must be above 0, below 10^20 and have at most 18 decimals")
        if any(one["aggregator_id"] == aggregator_id for one in out):
            reader.fault("aggregator_id", "repeated", f"{aggregator_id!r:.80} stands twice: list it once")
        out.append({"aggregator_id": aggregator_id, "weight": sent})
    return out
