"""Read a matrix as clients send it in one place: `price_groups`, each with its filter and its rows, in order."""

from collections.abc import Sequence
from typing import Any

from billing.catalog.model import PriceGroup, ProductType
from billing.catalog.rows import check_groups, read_filter, read_rows
from metering.http.fields import Fields
from metering.http.problem import Fault, PathPart

GROUPS_MAX = 50
FIELD = "price_groups"


def read_price_groups(reader: Fields, kind: ProductType, path: Sequence[PathPart]) -> tuple[PriceGroup, ...]:
    """Read the `price_groups` of an object that `path` leads to; of no use if a fault was noted."""
    out, noted = [], len(reader.faults)
    for index, inner in enumerate(reader.items(FIELD, items_max=GROUPS_MAX) or ()):
        place = (*path, FIELD, index)
        where = read_filter(inner.raw("metering_filter"), (*place, "metering_filter"), reader.faults)
        rows = read_rows(inner.raw("prices"), kind, (*place, "prices"), reader.faults)
        out.append(PriceGroup(where, rows))
    if not out and len(reader.faults) == noted:
        reader.fault(FIELD, "length", "must hold at least one group")
    if len(reader.faults) == noted:
        check_groups(out, kind, (*path, FIELD), reader.faults)
    return tuple(out)


def read_sent_groups(groups: Any, kind: ProductType, path: Sequence[PathPart]) -> tuple[PriceGroup, ...]:
    """Read groups that are agreed with one subscription; `path` leads to the object that they are a field of.

    Raises:
        ApiError: 400 with every fault.
    """
    faults: list[Fault] = []
    reader = Fields({FIELD: groups}, path, faults)
    read = read_price_groups(reader, kind, path)
    reader.refuse_faults()
    return read
