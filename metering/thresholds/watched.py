"""Aggregators with thresholds, as the registry has them, and how far each was checked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from metering.decimals import plain
from metering.http.json import dumps
from metering.position import NOTHING, Cutoff
from metering.registry.aggregators import StoredAggregator, aggregators_with_thresholds
from metering.registry.customers import Customer, resolve_many
from metering.registry.tables import customer_ids, threshold_checks
from metering.windows import Period
from metering.world import World

LOOKED_UP_MAX = 500


@dataclass(frozen=True, slots=True)
class Threshold:
    """A total that usage reaches: `gte` is the one comparison there is."""

    name: str | None
    value: Decimal
    operator: str

    def is_reached(self, total: Decimal) -> bool:
        """Tell whether a total is at or beyond it."""
        return total >= self.value

    def out(self) -> dict[str, Any]:
        """Give it as the aggregator tells it."""
        return {"name": self.name, "threshold_value": self.value, "comparison_operator": self.operator}


@dataclass(frozen=True, slots=True)
class Watched:
    """An aggregator with thresholds. `since` is the cut-off up to which usage was compared with them, on `day`.

    `day` counts days since 1970 UTC.
    """

    aggregator: StoredAggregator
    since: Cutoff = NOTHING
    day: int = -1

    @property
    def thresholds(self) -> Sequence[Threshold]:
        """Give its thresholds."""
        return [
            Threshold(each.get("name"), Decimal(each["threshold_value"]), each.get("comparison_operator") or "gte")
            for each in self.aggregator.details.get("thresholds", ())
        ]

    @property
    def interval(self) -> tuple[int, Period]:
        """Give the period that usage is compared over: the aggregator's default interval, or a calendar month."""
        details = self.aggregator.details
        count, period = details.get("default_interval_count"), details.get("default_interval_period")
        return int(count or 1), Period(period or Period.MONTHS)

    @property
    def fingerprint(self) -> str:
        """Give a text that changes with all that a crossing depends on."""
        thresholds = [(plain(threshold.value), threshold.operator) for threshold in self.thresholds]
        told = dumps([repr(self.aggregator.counted()), thresholds, [*map(str, self.interval)]])
        return sha256(told).hexdigest()


def watched_aggregators(connection: sa.Connection) -> list[Watched]:
    """Give every active aggregator that has thresholds, of all worlds; one that was changed begins from nothing."""
    checks = {row.aggregator_id: row for row in connection.execute(threshold_checks.select())}
    out = []
    for aggregator in aggregators_with_thresholds(connection):
        fresh = Watched(aggregator)
        check = checks.get(aggregator.id)
        if check is not None and check.fingerprint == fresh.fingerprint:
            fresh = Watched(aggregator, Cutoff.decode(check.cutoff), check.day)
        out.append(fresh)
    return out


def note_checked(connection: sa.Connection, checked: Iterable[Watched]) -> None:
    """Note how far aggregators were checked."""
    for watched in checked:
        aggregator = watched.aggregator
        connection.execute(threshold_checks.delete().where(threshold_checks.c.aggregator_id == aggregator.id))
        connection.execute(
            threshold_checks.insert().values(
                aggregator_id=aggregator.id,
                account_id=aggregator.world.account_id,
                mode=aggregator.world.mode.value,
                fingerprint=watched.fingerprint,
                day=watched.day,
                cutoff=watched.since.encode(),
            )
        )


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose usage is compared: a customer with all its ids, or an id that nobody has."""

    customer: Customer | None
    identifiers: Sequence[str]

    @property
    def id(self) -> str:
        """Give our id, or the one that nobody has."""
        return self.identifiers[0] if self.customer is None else self.customer.id

    @property
    def timezone(self) -> str:
        """Give the zone whose calendar its periods follow."""
        return (self.customer and self.customer.timezone) or "UTC"


def owners_by_identifier(connection: sa.Connection, world: World, identifiers: Sequence[str]) -> Mapping[str, Owner]:
    """Give whose ids these are; ids of one customer have one owner."""
    customers = resolve_many(connection, world, identifiers)
    wanted = sorted({customer.id for customer in customers.values()})
    held: dict[str, list[str]] = {}
    for start in range(0, len(wanted), LOOKED_UP_MAX):
        query = (
            sa.select(customer_ids.c.customer_id, customer_ids.c.identifier)
            .where(
                customer_ids.c.account_id == world.account_id,
                customer_ids.c.mode == world.mode.value,
                customer_ids.c.customer_id.in_(wanted[start : start + LOOKED_UP_MAX]),
            )
            .order_by(customer_ids.c.identifier)
        )
        for row in connection.execute(query):
            held.setdefault(row.customer_id, []).append(row.identifier)
    owners = {customer.id: Owner(customer, tuple(held[customer.id])) for customer in customers.values()}
    return {
        identifier: owners[customers[identifier].id] if identifier in customers else Owner(None, (identifier,))
        for identifier in identifiers
    }
