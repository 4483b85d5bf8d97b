"""Random lives of events, told twice: as rows of the store, and by a model in plain Python that says what is true.

The model replays what came in up to a cut-off, key by key; it knows nothing of how the store finds the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
from hypothesis import strategies as st

from metering.decimals import plain
from metering.position import Cutoff, Position, last_of_message, pack
from metering.store.client import Store
from metering.store.columns import event_columns, superseded_columns, versions_of
from metering.store.versions import Lost
from metering.timestamps import DAY, HOUR
from metering.world import World
from tests.builders import a_version, loses

START_US = 1_706_745_600_000_000
"""2024-02-01."""
LANES = (3, 7)
TYPES = ("call", "seat")
CUSTOMERS = ("cus_1", "ext-1", "cus_2")

amounts = st.one_of(
    st.decimals(min_value=-(10**19), max_value=10**19, places=18),
    st.integers(-5, 5).map(Decimal),
    st.sampled_from(["7", "1e2", "x", None, True]),
)


@dataclass(frozen=True)
class Arrival:
    """What one position holds: a version, or the deletion of a key."""

    key: int
    customer_id: str = "cus_1"
    timestamp_us: int = START_US
    amount: Any = None
    plan: str = "free"
    deletion: bool = False

    @property
    def event_type(self):
        return TYPES[self.key % 2]

    @property
    def record_id(self):
        return f"r{self.key}"

    @property
    def record(self) -> Mapping[str, Any]:
        return {"id": self.record_id, "amount": self.amount, "plan": self.plan}

    @property
    def properties(self) -> bytes:
        amount = msgspec.Raw(plain(self.amount).encode()) if isinstance(self.amount, Decimal) else self.amount
        return msgspec.json.encode({"amount": amount, "plan": self.plan})


arrivals = st.builds(
    Arrival,
    key=st.integers(0, 5),
    customer_id=st.sampled_from(CUSTOMERS),
    timestamp_us=st.one_of(
        st.integers(0, 5).map(lambda step: START_US + step * 12 * DAY), st.integers(START_US, START_US + 60 * DAY)
    ),
    amount=amounts,
    plan=st.sampled_from(["free", "pro", "team"]),
    deletion=st.integers(0, 9).map(lambda roll: roll == 0),
)


@dataclass
class History:
    """Arrivals in the order of time, each in its key's lane, with the rows of the store that some are written twice."""

    arrivals: list[Arrival]
    repeated: set[int] = field(default_factory=set)

    def position(self, index: int) -> Position:
        return pack(LANES[self.arrivals[index].key % len(LANES)], 10 + index, index % 3)

    def cutoff(self, ends: tuple[int, int]) -> Cutoff:
        """Give the cut-off that sees the first so many arrivals of each lane; none of a lane that ends at 0."""
        return Cutoff({lane: last_of_message(lane, 9 + end) for lane, end in zip(LANES, ends, strict=True) if end})

    def seen(self, cutoff: Cutoff) -> list[tuple[Position, Arrival]]:
        positions = [(self.position(index), arrival) for index, arrival in enumerate(self.arrivals)]
        return [(position, arrival) for position, arrival in positions if cutoff.covers(position)]

    def current(self, cutoff: Cutoff) -> list[tuple[Position, Arrival]]:
        """Give what is current: of each key the latest, of equal times the last received, since its last deletion."""
        best: dict[int, tuple[Position, Arrival]] = {}
        for position, arrival in self.seen(cutoff):
            if arrival.deletion:
                best.pop(arrival.key, None)
            elif arrival.key not in best or arrival.timestamp_us >= best[arrival.key][1].timestamp_us:
                best[arrival.key] = (position, arrival)
        return list(best.values())

    def write(self, store: Store, world: World) -> None:
        """Write the rows that a consumer would have written, some of them again in another part."""
        versions, lost = {}, []
        best: dict[int, Any] = {}
        for index, arrival in enumerate(self.arrivals):
            position = self.position(index)
            if arrival.deletion:
                if arrival.key in best:
                    lost.append(loses(best.pop(arrival.key), position))
                continue
            version = a_version(
                world,
                position,
                record_id=arrival.record_id,
                event_type=arrival.event_type,
                customer_id=arrival.customer_id,
                timestamp_us=arrival.timestamp_us,
                properties=arrival.properties,
                received_at_us=START_US + 90 * DAY + index * HOUR,
            )
            versions[index] = version
            standing = best.get(arrival.key)
            if standing and version.timestamp_us < standing.timestamp_us:
                lost.append(loses(version, position))
                continue
            if standing:
                lost.append(loses(standing, position))
            best[arrival.key] = version
        self._insert(store, list(versions.values()), lost)
        again = [version for index, version in versions.items() if index in self.repeated]
        self._insert(store, again, lost[::2] if self.repeated else [])

    @staticmethod
    def _insert(store: Store, versions: list[Any], lost: list[Lost]) -> None:
        if versions:
            store.insert("events", event_columns(versions_of(versions)))
        if lost:
            rows: pa.Table = superseded_columns(lost)
            store.insert("superseded", rows)


histories = st.builds(History, st.lists(arrivals, min_size=1, max_size=25), st.sets(st.integers(0, 24)))
cutoff_ends = st.one_of(st.just((30, 30)), st.tuples(st.integers(0, 26), st.integers(0, 26)))
