"""Read a simulation as clients send it: every fault told at once, and prices that can be rated."""

from collections.abc import Mapping, Sequence
from typing import Any

from billing.catalog.groups import read_price_groups
from billing.catalog.model import PriceGroup, ProductType
from billing.catalog.rows import is_matrix, read_rows
from billing.errors import InvalidPriceError
from billing.money import read_currency
from billing.pricing import read_terms
from billing.pricing.rows import Faults
from billing.pricing.rows import Fields as PriceFields
from billing.simulations.model import Asked, Draft
from metering.http.fields import Fields
from metering.http.problem import Fault, refused
from metering.ranges import RangeError, parse_range
from metering.windows import Period, add_period

DRAFTS_MAX = 10
CUSTOMERS_MAX = 10_000
MONTHS_MAX = 36
_ISO_MAX = 64


def read_simulation(body: Mapping[str, Any]) -> Asked:
    """Read a request. `customer_ids` are as they were sent.

    Raises:
        ApiError: 400 with every fault, 422 for terms that cannot be held.
    """
    fields = Fields(body)
    product_id = fields.name("product_id", required=True)
    timezone = fields.name("timezone") or "UTC"
    start = fields.name("start_date", required=True, characters_max=_ISO_MAX)
    end = fields.name("end_date", required=True, characters_max=_ISO_MAX)
    currency = ""
    try:
        currency = read_currency(fields.raw("currency"))
    except InvalidPriceError as error:
        fields.faults.extend(error.faults)
    start_us = end_us = 0
    if start is not None and end is not None:
        try:
            span = parse_range(start, end, timezone, now_us=0)
        except RangeError as error:
            fields.faults.extend(Fault("range", (name,), str(error)) for name in error.fields)
        else:
            start_us, end_us = span.start_us, span.end_us
            if end_us > add_period(start_us, Period.MONTHS, MONTHS_MAX, span.timezone):
                fields.fault("end_date", "out_of_range", f"lies more than {MONTHS_MAX} months after start_date")
    customers = None
    if fields.raw("customer_ids") is not None:
        customers = fields.names("customer_ids", items_max=CUSTOMERS_MAX)
    drafts = _read_drafts(fields)
    fields.refuse_faults()
    assert product_id is not None
    return Asked(product_id, currency, start_us, end_us, timezone, customers, drafts)


def _read_drafts(fields: Fields) -> list[Draft]:
    readers = fields.items("configurations", items_max=DRAFTS_MAX)
    if not readers:
        if not any("configurations" in fault.path for fault in fields.faults):
            fields.fault("configurations", "required", "is needed: send 1 to 10 objects with name and prices")
        return []
    drafts = [_read_draft(reader, index) for index, reader in enumerate(readers)]
    names = [draft.name for draft in drafts]
    for index, name in enumerate(names):
        if name in names[:index]:
            message = f"configurations[{index}].name: {name[:40]!r} is the name of another one: send each its own"
            fields.faults.append(Fault("taken", ("configurations", index, "name"), message))
    return drafts


def _read_draft(reader: Fields, index: int) -> Draft:
    """Read one; what comes back is of no use if a fault was noted."""
    path = ("configurations", index)
    noted = len(reader.faults)
    name = reader.name("name") or f"configuration {index + 1}"
    groups = _read_groups(reader, path)
    inner = Faults()
    known = {key: reader.raw(key) for key in ("min_amount", "max_amount", "min_committed_count")}
    terms = read_terms(PriceFields(known, path, inner))
    try:
        inner.check()
    except InvalidPriceError as error:
        reader.faults.extend(error.faults)
    if len(reader.faults) == noted and terms.min_committed_count is not None and is_matrix(groups):
        where = f"configurations[{index}].min_committed_count"
        raise refused(f"{where}: a commitment cannot be shared out among price groups: leave it out")
    return Draft(name, groups, terms.min_amount, terms.max_amount, terms.min_committed_count)


def _read_groups(reader: Fields, path: tuple[str, int]) -> Sequence[PriceGroup]:
    if reader.raw("price_groups") is None:
        return [
            PriceGroup(None, read_rows(reader.raw("prices"), ProductType.DYNAMIC, (*path, "prices"), reader.faults))
        ]
    if reader.raw("prices") is not None:
        reader.fault("prices", "ambiguous", "send prices or price_groups, not both")
    return read_price_groups(reader, ProductType.DYNAMIC, path)
