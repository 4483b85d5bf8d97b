"""Price models: pure functions from units to exact amounts. No I/O, no clock, no float.

What other packages use stands here; the README beside this file tells how the parts fit.
"""

from billing.pricing.bundle import credits_used, whole_packs
from billing.pricing.difference import bill_difference
from billing.pricing.model import NO_TERMS, EventPrices, Prices, Terms, UnitPrices, share_of
from billing.pricing.pipeline import rate, rate_events, rate_groups
from billing.pricing.rated import Adjustment, AdjustmentKind, EntryType, Rated, RatedTier
from billing.pricing.registry import MODELS, read_prices
from billing.pricing.terms import read_terms
from billing.pricing.totals import LineTotal, line_total, percent_of

__all__ = [
    "MODELS",
    "NO_TERMS",
    "Adjustment",
    "AdjustmentKind",
    "EntryType",
    "EventPrices",
    "LineTotal",
    "Prices",
    "Rated",
    "RatedTier",
    "Terms",
    "UnitPrices",
    "bill_difference",
    "credits_used",
    "line_total",
    "percent_of",
    "rate",
    "rate_events",
    "rate_groups",
    "read_prices",
    "read_terms",
    "share_of",
    "whole_packs",
]
