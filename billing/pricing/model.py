"""The seam between the price models and the pipeline that rates with them.

A model answers one question: what do these units cost, exactly, tier by tier? It knows nothing of rounding,
minimum, maximum or commitment; those are `billing.pricing.pipeline`'s, the same for all. A model is one file with a
reader, which `billing.pricing.registry` names, and a frozen class that satisfies one of the two protocols here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Protocol, runtime_checkable

import msgspec

from billing.pricing.full import NONE_FULL, Full
from billing.pricing.rows import ONE


# Structs and not dataclasses: several are made for every line, and a frozen dataclass takes ten times as long.
class Part(msgspec.Struct, frozen=True, gc=False):
    """What one tier contributes: it covers `(lower, upper]`, None being without end.

    `charge` is exact minor units times the denominator of the `Charges` it stands in.
    """

    lower: Decimal
    upper: Decimal | None
    quantity: Decimal
    charge: Decimal

    def charged(self, charge: Decimal) -> "Part":
        """Give the same part at another charge."""
        return Part(self.lower, self.upper, self.quantity, charge)


class Charges(msgspec.Struct, frozen=True):
    """The parts of a price in tier order, and the denominator that all their charges share.

    `full` may hold the first of them, settled beforehand.
    """

    parts: Sequence[Part]
    denominator: int
    full: Full = NONE_FULL


@dataclass(frozen=True, slots=True)
class Terms:
    """What is agreed about one product beyond its price rows. Amounts are minor units; None means no such term.

    `count` and `share` concern fees alone: how many are sold, and the share of the period that is billed (see
    `share_of`). `min_amount` must not exceed `max_amount`; `billing.pricing.terms` reads terms with that check.
    """

    count: Decimal = ONE
    share: Fraction = Fraction(1)
    min_committed_count: Decimal | None = None
    min_amount: int | None = None
    max_amount: int | None = None
    allow_negative_values: bool = False

    def __post_init__(self) -> None:
        assert 0 <= self.share <= 1
        assert self.min_amount is None or self.max_amount is None or self.min_amount <= self.max_amount


NO_TERMS = Terms()


def share_of(left: int, total: int) -> Fraction:
    """Give the share of a period that is left, both counted in the same unit: calendar days, or milliseconds."""
    assert 0 <= left <= total, "more is left than there was"
    assert total > 0, "a period has a length"
    return Fraction(left, total)


@runtime_checkable
class UnitPrices(Protocol):
    """Prices that need no more than the number of units. Both methods are called under `billing.money.MONEY`."""

    def charge(self, units: Decimal, terms: Terms, *, zero_begins: bool) -> Charges:
        """Say what `units`, 0 or more, cost.

        `zero_begins` says whether no units at all begin the first tier, which matters where it is paid in full.
        Parts that have neither units nor a charge are left out. The commitment in `terms` is in `units` already.
        """
        ...

    def credit(self, units: Decimal, terms: Terms) -> Charges:
        """Say what `units`, below 0, give back: the mirror of what as many would cost pro rata, so below 0 too."""
        ...


@runtime_checkable
class EventPrices(Protocol):
    """Prices that need the value of every event, in (timestamp, id) order. Called under `billing.money.MONEY`."""

    def charge_events(self, values: Sequence[Decimal], billed: Decimal) -> Charges:
        """Say what these events cost.

        `billed` is the units to bill in all: the sum of the values, or another number where a commitment or the
        clamp at 0 replaces it. The difference is rated as units that no event stands for.
        """
        ...


Prices = UnitPrices | EventPrices


def mirrored(parts: Sequence[Part]) -> list[Part]:
    """Turn what was charged into what is given back."""
    return [Part(part.lower, part.upper, -part.quantity, -part.charge) for part in parts]
