"""What a simulation is: drafts of prices, and what they come to. Amounts are minor units of one currency."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from billing.catalog.model import PriceGroup
from metering.position import Cutoff
from metering.world import World


class SimulationStatus(StrEnum):
    """`error`: it cannot be worked out; `message` says why."""

    PENDING = "pending"
    PROCESSING = "processing"
    DONE = "done"
    ERROR = "error"


UNFINISHED = (SimulationStatus.PENDING.value, SimulationStatus.PROCESSING.value)


@dataclass(frozen=True, slots=True)
class Draft:
    """Prices to try: one group, or those of a matrix in order, and terms. None means no such term."""

    name: str
    groups: Sequence[PriceGroup]
    min_amount: int | None = None
    max_amount: int | None = None
    min_committed_count: Decimal | None = None

    def document(self) -> dict[str, Any]:
        """Give what is kept."""
        return {
            "name": self.name,
            "groups": [group.document() for group in self.groups],
            "min_amount": self.min_amount,
            "max_amount": self.max_amount,
            "min_committed_count": self.min_committed_count,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Draft":
        """Give back what `document` gave."""
        committed = document["min_committed_count"]
        return cls(
            document["name"],
            tuple(PriceGroup(group["metering_filter"], tuple(group["prices"])) for group in document["groups"]),
            document["min_amount"],
            document["max_amount"],
            None if committed is None else Decimal(committed),
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be simulated: usage of `[start_us, end_us)` in the calendar months of a zone.

    `customer_ids` are ours; None is everybody who used the product or has it. `aggregator_id` and `revision` say how
    the product was counted when it was asked for; None, as in rows from before them, is as it is now.
    """

    product_id: str
    currency: str
    start_us: int
    end_us: int
    timezone: str
    customer_ids: Sequence[str] | None
    drafts: Sequence[Draft]
    aggregator_id: str | None = None
    revision: int | None = None

    def document(self) -> dict[str, Any]:
        """Give what is kept."""
        return {
            "product_id": self.product_id,
            "currency": self.currency,
            "start_us": self.start_us,
            "end_us": self.end_us,
            "timezone": self.timezone,
            "customer_ids": None if self.customer_ids is None else list(self.customer_ids),
            "drafts": [draft.document() for draft in self.drafts],
            "aggregator_id": self.aggregator_id,
            "revision": self.revision,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Asked":
        """Give back what `document` gave."""
        return cls(**{**document, "drafts": [Draft.from_document(draft) for draft in document["drafts"]]})


class Outcome(NamedTuple):
    """What a customer pays by the prices it has, None where it has none, and by each draft, in order."""

    customer_id: str
    current: int | None
    amounts: Sequence[int]


class CameTo(NamedTuple):
    """What a simulation came to: each customer's part, and the summary of all as it goes out."""

    outcomes: Sequence[Outcome]
    summary: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Simulation:
    """One simulation. `progress` is 0 to 100; `summary` is there once it is done."""

    id: str
    world: World
    status: SimulationStatus
    asked: Asked
    cutoff: Cutoff
    progress: int
    summary: Mapping[str, Any] | None
    message: str | None
    created_at: datetime
    ended_at: datetime | None
