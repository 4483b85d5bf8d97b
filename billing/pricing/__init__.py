"""Price models: pure functions from units to exact amounts. No I/O, no clock, no float.

What other packages use stands here; the README beside this file tells how the parts fit.
"""

from billing.pricing.bundle import credits_used, whole_packs
from billing.pricing.difference import bill_difference, true_up
from billing.pricing.model import NO_TERMS, EventPrices, Prices, Terms, UnitPrices, share_of
from billing.pricing.pipeline import (
    Charged,
    charge,
    charge_events,
    charge_groups,
    least_of,
    rate,
    rate_events,
    rate_groups,
    settle,
    units_billed,
    unrounded,
)
from billing.pricing.rated import Adjustment, AdjustmentKind, EntryType, Rated, RatedTier, joined
from billing.pricing.registry import MODELS, read_prices
from billing.pricing.terms import read_terms
from billing.pricing.totals import LineTotal, line_total, percent_of

__all__ = [
    "MODELS",
    "NO_TERMS",
    "Adjustment",
    "AdjustmentKind",
    "Charged",
    "EntryType",
    "EventPrices",
    "LineTotal",
    "Prices",
    "Rated",
    "RatedTier",
    "Terms",
    "UnitPrices",
    "bill_difference",
    "charge",
    "charge_events",
    "charge_groups",
    "credits_used",
    "joined",
    "least_of",
    "line_total",
    "percent_of",
    "rate",
    "rate_events",
    "rate_groups",
    "read_prices",
    "read_terms",
    "settle",
    "share_of",
    "true_up",
    "units_billed",
    "unrounded",
    "whole_packs",
]
