"""Choose the prices that a customer gets: what matches, and of that the most specific.

A configuration matches when each of its parameters is that of the subscription, or is open to all. One that names a
parameter goes before one that is open on it; when two name different ones, the price book counts more than the plan,
that more than the commitment, the country, the billing interval, and last the newest wins. Where a price book has
nothing that matches, the default catalog is asked; another price book never is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from billing.catalog.model import PriceConfiguration
from billing.interval import Interval


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a price is wanted for."""

    currency: str
    country: str | None
    billing_interval: Interval
    commitment_interval: Interval | None = None
    price_book_id: str | None = None
    plan_id: str | None = None

    def __str__(self) -> str:
        country = self.country or "no country"
        commitment = f", committed for {self.commitment_interval}" if self.commitment_interval else ""
        book = f", price book {self.price_book_id}" if self.price_book_id else ""
        plan = f", plan {self.plan_id}" if self.plan_id else ""
        return f"{self.currency}, {country}, every {self.billing_interval}{commitment}{book}{plan}"


def choose(configurations: Sequence[PriceConfiguration], wanted: Wanted) -> list[PriceConfiguration]:
    """Give the groups of the matrix to bill by, in their order; empty when nothing matches.

    `configurations` are in the order in which they were given, newest last. Most often one is chosen; several are
    configurations that differ in their metering filter alone.
    """
    matching = [(index, one) for index, one in enumerate(configurations) if _matches(one, wanted)]
    if not matching:
        return []
    _, best = max(matching, key=lambda entry: (_specificity(entry[1]), entry[0]))
    return [one for _, one in matching if one.parameters == best.parameters]


def _matches(one: PriceConfiguration, wanted: Wanted) -> bool:
    return (
        one.currency == wanted.currency
        and (one.countries is None or _covers(one.countries, wanted.country))
        and one.billing_interval in {None, wanted.billing_interval}
        and one.commitment_interval in {None, wanted.commitment_interval}
        and one.price_book_id in {None, wanted.price_book_id}
        and one.plan_id in {None, wanted.plan_id}
    )


def _covers(countries: tuple[str, ...], country: str | None) -> bool:
    return country in countries if country is not None else not countries


def _specificity(one: PriceConfiguration) -> tuple[bool, ...]:
    named = (one.price_book_id, one.plan_id, one.commitment_interval, one.countries, one.billing_interval)
    return tuple(parameter is not None for parameter in named)
