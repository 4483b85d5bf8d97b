"""What one store holds, as far as two are compared: sets of rows, figures, and how far each lane is applied."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
import sqlalchemy as sa

from metering.decimals import plain
from metering.position import Cutoff
from metering.registry.aggregators import StoredAggregator, list_aggregators
from metering.store.client import Store
from metering.store.digests import ROW_SETS, Digest, Group, applied_to, digests, figure_digests, worlds_in
from metering.store.usage import Scope, UsageReader
from metering.timestamps import microseconds
from metering.world import World

_PAGE = 100
FIGURES = "current versions"


class Total(msgspec.Struct, frozen=True):
    """An aggregator's figure of one month, over all customers."""

    aggregator_id: str
    month: int
    total: str
    count: int
    not_numbers: int


class Survey(msgspec.Struct, frozen=True):
    """Digests by set and group, each aggregator's totals by month, and the position that each lane is applied to."""

    digests: Mapping[str, Sequence[tuple[Group, Digest]]]
    totals: Sequence[Total]
    applied: Mapping[int, int]


def survey(connection: sa.Connection, store: Store) -> Survey:
    """Read all of a store; the aggregators are those of the registry."""
    found = {table: digests(store, table) for table in ROW_SETS}
    cutoff = applied_to(store)
    figures: dict[Group, Digest] = {}
    totals: list[Total] = []
    for world in worlds_in(found["events"]):
        of_world = figure_digests(store, world, cutoff)
        figures |= of_world
        totals += _totals(connection, store, world, cutoff, sorted({group.month for group in of_world}))
    sets = {**found, FIGURES: figures}
    return Survey(
        {name: sorted(groups.items()) for name, groups in sets.items()},
        totals,
        {lane: int(position) for lane, position in sorted(cutoff.bounds.items())},
    )


def _totals(
    connection: sa.Connection, store: Store, world: World, cutoff: Cutoff, months: Sequence[int]
) -> Iterator[Total]:
    aggregators = list(_aggregators(connection, world))
    counted = [aggregator.counted() for aggregator in aggregators]
    for month in months if aggregators else ():
        scope = Scope(world, cutoff, _begin(month), _begin(month + 1 if month % 100 < 12 else month + 89))
        for aggregator, usage in zip(aggregators, UsageReader(store).totals(scope, counted), strict=True):
            yield Total(
                aggregator.id,
                month,
                "none" if usage.total is None else plain(usage.total),
                usage.count,
                usage.not_numbers,
            )


def _aggregators(connection: sa.Connection, world: World) -> Iterator[StoredAggregator]:
    skip, total = 0, 1
    while skip < total:
        page, total = list_aggregators(connection, world, conditions=(), take=_PAGE, skip=skip)
        yield from page
        skip += _PAGE


def _begin(month: int) -> int:
    return microseconds(datetime(month // 100, month % 100, 1, tzinfo=UTC))
