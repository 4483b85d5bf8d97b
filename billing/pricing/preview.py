"""Answer `POST /v1/prices/preview`: what given prices make of given usage, nothing stored.

The request is JSON that was decoded without floats; whatever its shape, it is answered or refused with a reason.
All faults of a request are told at once, so that whoever writes a price list mends it in one go.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Any

from billing.errors import InvalidPriceError
from billing.money import MONEY, read_currency
from billing.pricing.bps import BpsPrices
from billing.pricing.model import EventPrices, Prices, Terms, UnitPrices
from billing.pricing.pipeline import rate, rate_events, rate_groups
from billing.pricing.rated import Adjustment, Rated, RatedTier
from billing.pricing.registry import ROWS_MAX, read_prices_into
from billing.pricing.rows import ZERO, Faults, Fields, Path, named, read_number, shown
from billing.pricing.terms import read_terms

QUANTITIES_MAX = 10_000
EVENTS_MAX = 10_000
TIERS_RATED_MAX = 200_000
"""Rows times quantities: what one answer may take in time and size."""


def preview(request: Any) -> dict[str, Any]:
    """Give `{"amounts": [{"quantity", "amount", "tiers"}]}`, amounts as int and quantities as int or Decimal.

    One entry for each of `quantities`, in order; one for all `events`, and one for all `price_groups`, whose quantity
    is their sum. Credits are below 0. Unknown fields are ignored, and null is the same as absent.

    Raises:
        InvalidPriceError: the request breaks a rule; it names all faults found.
        RefusedPriceError: it asks for what is not defined, or for an amount beyond 64 bits.
        TypeError: a number is a float, so the JSON was decoded the wrong way.
    """
    faults = Faults()
    if not isinstance(request, Mapping):
        faults.note("invalid_type", (), f"the request is {shown(request)}: send an object")
        faults.check()
    fields = Fields(request, (), faults)
    _check_currency(fields)
    terms = read_terms(fields)
    source = _read_source(fields)
    if source == "price_groups":
        return {"amounts": [_rate_groups(fields, terms)]}
    prices = read_prices_into(fields.get("prices"), ("prices",), faults)
    if source == "events":
        return {"amounts": [_rate_events(fields, prices, terms)]}
    return {"amounts": _rate_quantities(fields, prices, terms)}


def _check_currency(fields: Fields) -> None:
    try:
        read_currency(fields.get("currency"))
    except InvalidPriceError as error:
        for fault in error.faults:
            fields.faults.note(fault.code, fault.path, fault.message)


def _read_source(fields: Fields) -> str:
    """Tell where the usage stands: in `quantities`, `events` or `price_groups`, exactly one of them."""
    sources = ("quantities", "events", "price_groups")
    given = [name for name in sources if fields.get(name) is not None]
    if not given:
        message = "quantities is missing: send quantities, or events, or price_groups"
        fields.faults.note("required", ("quantities",), message)
        return "quantities"
    for name in given[1:]:
        fields.note("contradiction", name, f"{name} stands beside {given[0]}: send one of them")
    if given[0] == "price_groups" and fields.get("prices") is not None:
        fields.note("contradiction", "prices", "prices stand beside price_groups: move them into the groups")
    return given[0]


def _rate_quantities(fields: Fields, prices: Prices | None, terms: Terms) -> list[dict[str, Any]]:
    quantities = _read_numbers(fields, "quantities", QUANTITIES_MAX)
    if isinstance(prices, EventPrices):
        message = "prices set a floor, cap or fee for each event, which a sum does not tell: send events in its place"
        fields.note("events_needed", "quantities", message)
    rows = fields.get("prices")
    if isinstance(rows, list) and len(rows) * len(quantities) > TIERS_RATED_MAX:
        message = f"{len(quantities)} quantities for {len(rows)} rows: send fewer, rows times quantities being at most"
        fields.note("too_many", "quantities", f"{message} {TIERS_RATED_MAX}")
    fields.faults.check()
    assert isinstance(prices, UnitPrices)
    return [_entry(quantity, rate(prices, quantity, terms)) for quantity in quantities]


def _rate_events(fields: Fields, prices: Prices | None, terms: Terms) -> dict[str, Any]:
    values = _read_numbers(fields, "events", EVENTS_MAX)
    if prices is not None and not isinstance(prices, EventPrices | BpsPrices):
        fields.note("not_per_event", "events", "events are for bps prices: send quantities in their place")
    fields.faults.check()
    quantity = _sum(values)
    if isinstance(prices, EventPrices):
        return _entry(quantity, rate_events(prices, values, terms))
    assert isinstance(prices, BpsPrices)
    return _entry(quantity, rate(prices, quantity, terms))


def _rate_groups(fields: Fields, terms: Terms) -> dict[str, Any]:
    faults = fields.faults
    groups = fields.get("price_groups")
    read: list[tuple[UnitPrices, Decimal]] = []
    rows_count = 0
    if not isinstance(groups, list) or not groups:
        message = f"price_groups is {'empty' if groups == [] else shown(groups)}: send a list of objects"
        fields.note("invalid_type", "price_groups", message)
        groups = []
    if len(groups) > ROWS_MAX:
        fields.note("too_many", "price_groups", f"price_groups has {len(groups)} groups: send at most {ROWS_MAX}")
        groups = []
    for index, group in enumerate(groups):
        path: Path = ("price_groups", index)
        if not isinstance(group, Mapping):
            faults.note("invalid_type", path, f"{named(path)} is {shown(group)}: send an object")
            continue
        rows = group.get("prices")
        rows_count += len(rows) if isinstance(rows, list) else 0
        if rows_count > ROWS_MAX:
            fields.note("too_many", "price_groups", f"price_groups has more than {ROWS_MAX} rows in all: send fewer")
            break
        prices = read_prices_into(rows, (*path, "prices"), faults)
        quantity = read_number(group.get("quantity"), (*path, "quantity"), faults)
        if isinstance(prices, EventPrices):
            message = (
                f"{named((*path, 'prices'))} are rated for each event: a group takes prices that a sum is enough for"
            )
            faults.note("events_needed", (*path, "prices"), message)
        elif prices is not None and quantity is not None:
            read.append((prices, quantity))
    faults.check()
    return _entry(_sum([quantity for _, quantity in read]), rate_groups(read, terms))


def _read_numbers(fields: Fields, name: str, count_max: int) -> list[Decimal]:
    """Read a list of numbers. Faults are noted, and the list is then of no use."""
    values = fields.get(name)
    if values is None:
        return []
    if not isinstance(values, list):
        fields.note("invalid_type", name, f"{name} is {shown(values)}: send a list of numbers")
        return []
    if len(values) > count_max:
        fields.note("too_many", name, f"{name} has {len(values)} numbers: send at most {count_max}")
        return []
    numbers = [read_number(value, (name, index), fields.faults) for index, value in enumerate(values)]
    return [number for number in numbers if number is not None]


def _sum(numbers: Sequence[Decimal]) -> Decimal:
    with localcontext(MONEY):
        return sum(numbers, start=ZERO)


def _entry(quantity: Decimal, rated: Rated) -> dict[str, Any]:
    sign = -1 if rated.signed_amount < 0 else 1
    return {
        "quantity": _plain(quantity),
        "amount": rated.signed_amount,
        "tiers": [_tier(tier, sign) for tier in rated.tiers],
    }


def _tier(tier: RatedTier | Adjustment, sign: int) -> dict[str, Any]:
    if isinstance(tier, Adjustment):
        return {"adjustment": tier.kind.value, "amount": sign * tier.amount}
    return {
        "from": _plain(tier.lower),
        "to": None if tier.upper is None else _plain(tier.upper),
        "quantity": _plain(tier.quantity if sign > 0 else tier.quantity.copy_negate()),
        "amount": sign * tier.amount,
    }


def _plain(number: Decimal) -> int | Decimal:
    """Give a whole number as int, so that it is written without a point."""
    whole = int(number)
    return whole if whole == number else number
