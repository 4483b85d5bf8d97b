"""Which price models there are, and how rows as clients send them become prices.

A new model is one file beside this one and one line in `MODELS`.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import localcontext
from types import MappingProxyType
from typing import Any

from billing.money import MONEY
from billing.pricing import bps, bulk, bundle, fee, packaged, volume
from billing.pricing.model import Prices
from billing.pricing.rows import Faults, Fields, Path, named, shown

MODELS: Mapping[str, Callable[[Sequence[Fields]], Prices]] = MappingProxyType(
    {
        "fee": fee.read,
        "volume": volume.read,
        "packaged": packaged.read,
        "bulk": bulk.read,
        "bps": bps.read,
        "bundle": bundle.read,
    }
)
"""The reader of each model, by the `type` its rows carry. It gets at least one row, all of its type."""

ROWS_MAX = 1_000


def read_prices(rows: Any, path: Path = ("prices",)) -> Prices:
    """Make prices of decoded JSON rows, numbers being int or Decimal.

    Raises:
        InvalidPriceError: the rows break a rule of their model; it names all faults found.
        TypeError: a number is a float.
    """
    faults = Faults()
    prices = read_prices_into(rows, path, faults)
    faults.check()
    assert prices is not None
    return prices


def read_prices_into(rows: Any, path: Path, faults: Faults) -> Prices | None:
    """Do the same as one part of a larger request: note faults for its reader to raise.

    What is given back is of use only if nothing was noted.
    """
    model = _read_model(rows, path, faults)
    if model is None:
        return None
    with localcontext(MONEY):
        return MODELS[model]([Fields(row, (*path, index), faults) for index, row in enumerate(rows)])


def _read_model(rows: Any, path: Path, faults: Faults) -> str | None:
    """Name the one model of all rows, or note why there is none."""
    if not isinstance(rows, list) or not rows:
        found = "empty" if rows == [] else "missing" if rows is None else shown(rows)
        faults.note("required", path, f"{named(path)} is {found}: send a list of price rows")
        return None
    if len(rows) > ROWS_MAX:
        faults.note("too_many", path, f"{named(path)} has {len(rows)} rows: send at most {ROWS_MAX}")
        return None
    noted = len(faults)
    first: str | None = None
    for index, row in enumerate(rows):
        here = (*path, index)
        if not isinstance(row, Mapping):
            faults.note("invalid_type", here, f"{named(here)} is {shown(row)}: send an object")
            continue
        model = row.get("type")
        if not isinstance(model, str) or model not in MODELS:
            code = "required" if model is None else "unknown"
            what = "missing" if model is None else shown(model)
            message = f"{named((*here, 'type'))} is {what}: send one of {', '.join(MODELS)}"
            faults.note(code, (*here, "type"), message)
        elif first is None:
            first = model
        elif model != first:
            message = f"{named((*here, 'type'))} is {model} after {first}: all rows of a price have one type"
            faults.note("mixed_types", (*here, "type"), message)
    return first if len(faults) == noted else None
