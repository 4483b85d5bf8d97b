"""Check the prices of a product as a whole: rows by their model, models by the product, groups by each other.

What passes here can be rated: no price that is kept fails later for what it says.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import Any

from billing.catalog.model import ROW_TYPES, PriceConfiguration, PriceGroup, ProductType
from billing.errors import InvalidPriceError
from billing.pricing import EventPrices, Prices, UnitPrices, rate_groups, read_prices
from billing.pricing.rows import named
from metering.filters import EVERYTHING, Filter, FilterError, decode_filter, kept_filter
from metering.http.json import dumps, loads
from metering.http.problem import Fault, PathPart

_ROWS_KEPT_MAX = 50
"""Longer lists of rows are read each time, so that what is kept stays small."""
_INCOMPLETE = ("on_tier_incomplete", "on_bucket_incomplete")
_ROW_FIELDS: Mapping[str, Sequence[str]] = {
    "fee": ("type", "amount", "count"),
    "volume": ("type", "amount", "unit_count", "from", "to", *_INCOMPLETE),
    "packaged": ("type", "amount", "unit_count", "from", "to", *_INCOMPLETE),
    "bulk": ("type", "amount", "unit_count", "from", "to", *_INCOMPLETE),
    "bps": ("type", "from", "to", "percentage", "per_unit_floor", "per_unit_cap", "per_unit_fee"),
    "bundle": ("type", "amount", "unit_count"),
}
"""What each model reads of its rows. All else was not checked, so it is not kept."""


def read_rows(
    rows: Any, kind: ProductType, path: Sequence[PathPart], faults: list[Fault]
) -> tuple[Mapping[str, Any], ...]:
    """Give price rows without the fields that mean nothing; of no use if anything was added to `faults`."""
    try:
        read_prices(rows, tuple(path))
    except InvalidPriceError as error:
        faults.extend(error.faults)
        return ()
    model = rows[0]["type"]
    if model not in ROW_TYPES[kind]:
        message = f"a {kind} product has no {model} prices: send rows of type {' or '.join(ROW_TYPES[kind])}"
        faults.append(Fault("wrong_type", (*path, 0, "type"), message))
    return tuple({name: row[name] for name in _ROW_FIELDS[model] if name in row} for row in rows)


def read_filter(document: Any, path: Sequence[PathPart], faults: list[Fault]) -> Mapping[str, Any] | None:
    """Give a metering filter `{"name", "configuration": {"conditional", "fields"}}`, None when it lets all through.

    The configuration may also be sent without its wrapping.
    """
    if document is None:
        return None
    if not isinstance(document, Mapping):
        faults.append(Fault("type", tuple(path), "metering_filter: must be an object with name and configuration"))
        return None
    wrapped = "configuration" in document
    configuration = document["configuration"] if wrapped else document
    name = document.get("name") if wrapped else None
    if name is not None and (not isinstance(name, str) or len(name) > 255):
        faults.append(
            Fault("type", (*path, "name"), "metering_filter.name: must be a string of at most 255 characters")
        )
        return None
    try:
        where = decode_filter(configuration, (*path, "configuration") if wrapped else tuple(path))
    except FilterError as error:
        faults.extend(Fault("filter", fault.path, f"metering_filter: {fault.message}") for fault in error.faults)
        return None
    return {"name": name, "configuration": kept_filter(configuration)} if where.conditions else None


def filter_of(group: PriceGroup) -> Filter:
    """Give which events a group takes; one without a filter takes what is left."""
    return EVERYTHING if group.metering_filter is None else decode_filter(group.metering_filter["configuration"])


def prices_of(group: PriceGroup) -> Prices:
    """Give a group's prices, ready to rate with."""
    if len(group.prices) > _ROWS_KEPT_MAX:
        return read_prices(list(group.prices))
    return _prices_of_rows(dumps(group.prices))


@lru_cache(maxsize=1_000)
def _prices_of_rows(rows: bytes) -> Prices:
    """Read equal rows once: thousands of subscriptions have the same."""
    return read_prices(loads(rows))


def is_matrix(groups: Sequence[PriceGroup]) -> bool:
    """Tell whether units are rated group by group: there are several, or one that does not take all events."""
    return len(groups) > 1 or groups[0].metering_filter is not None


def check_configurations(configurations: Sequence[PriceConfiguration], kind: ProductType, faults: list[Fault]) -> None:
    """Hold the configurations of a product against each other; rows and filters have been read without a fault."""
    matrices: dict[tuple[object, ...], list[int]] = {}
    for index, one in enumerate(configurations):
        matrices.setdefault(one.parameters, []).append(index)
        if one.group.metering_filter is not None and kind is not ProductType.DYNAMIC:
            path = ("price_configurations", index, "metering_filter")
            faults.append(Fault("not_metered", path, f"a {kind} product counts no events: leave metering_filter out"))
    for indexes in matrices.values():
        _check_matrix(configurations, indexes, faults)


def check_groups(
    groups: Sequence[PriceGroup], kind: ProductType, path: Sequence[PathPart], faults: list[Fault]
) -> None:
    """Hold the groups of one matrix against each other, as `check_configurations`; `path` leads to them."""
    for index, group in enumerate(groups):
        where = named((*path, index))
        if group.metering_filter is not None and kind is not ProductType.DYNAMIC:
            message = f"{where}.metering_filter: a {kind} product counts no events: leave it out"
            faults.append(Fault("not_metered", (*path, index, "metering_filter"), message))
        if group.metering_filter is None and index + 1 < len(groups):
            message = f"{where} has no metering_filter, so it takes every event: put it last, or remove it"
            faults.append(Fault("shadowed", (*path, index + 1), message))
    _check_rated(groups, [(*path, index) for index in range(len(groups))], faults)


def _check_matrix(configurations: Sequence[PriceConfiguration], indexes: Sequence[int], faults: list[Fault]) -> None:
    groups = [configurations[index].group for index in indexes]
    for index, following in pairwise(indexes):
        if configurations[index].group.metering_filter is None:
            path = ("price_configurations", following)
            message = f"price_configurations[{index}] has the same currency, countries and intervals and no"
            message = f"{message} metering_filter, so it takes every event: put it last, or remove one of them"
            faults.append(Fault("shadowed", path, message))
    _check_rated(groups, [("price_configurations", index) for index in indexes], faults)


def _check_rated(groups: Sequence[PriceGroup], paths: Sequence[Sequence[PathPart]], faults: list[Fault]) -> None:
    """Refuse groups that cannot be rated together; each has a path."""
    if not is_matrix(groups):
        return
    read = [prices_of(group) for group in groups]
    for path, prices in zip(paths, read, strict=True):
        if isinstance(prices, EventPrices):
            message = "prices with a floor, cap or fee for each event cannot have a metering_filter: leave one out"
            faults.append(Fault("events_needed", (*path, "prices"), message))
    try:
        rate_groups([(prices, Decimal(0)) for prices in read if isinstance(prices, UnitPrices)])
    except InvalidPriceError as error:
        faults.extend(Fault(fault.code, (*paths[0], "prices"), fault.message) for fault in error.faults)
