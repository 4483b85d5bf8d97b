"""What a deletion takes."""

from collections.abc import Sequence
from dataclasses import dataclass

from metering.world import World


@dataclass(frozen=True, slots=True)
class Retraction:
    """Which events a deletion takes: those of the world that meet every condition that is set; None sets none.

    `customer_ids` are ids as events name them, ours and external, so they were resolved before.
    """

    world: World
    event_type: str | None = None
    customer_ids: Sequence[str] | None = None
    record_ids: Sequence[str] | None = None
