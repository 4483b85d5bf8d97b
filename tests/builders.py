"""Events and versions that are valid unless a test says otherwise."""

from collections.abc import Iterable

import numpy as np
from xxhash import xxh3_128_digest

from metering.store.columns import versions_of
from metering.store.keys import key_hash
from metering.store.versions import Key, Lost, Verdict, Version
from metering.world import World

NOON_US = 1_700_000_000_000_000


def a_version(
    world: World,
    position: int,
    *,
    record_id: str = "r1",
    event_type: str = "call",
    customer_id: str = "cus_1",
    timestamp_us: int = NOON_US,
    properties: bytes = b'{"amount":1}',
    received_at_us: int = NOON_US,
) -> Version:
    return Version(
        key=Key(world.account_id, world.mode.value, event_type, record_id),
        key_hash=key_hash(world, event_type, record_id),
        customer_id=customer_id,
        timestamp_us=timestamp_us,
        position=position,
        record_id_is_number=False,
        properties=properties,
        content_hash=xxh3_128_digest(properties),
        received_at_us=received_at_us,
    )


def a_verdict(versions: Iterable[Version], superseded: Iterable[Lost] = ()) -> Verdict:
    rows = list(versions)
    return Verdict(versions_of(rows), list(superseded), np.arange(len(rows), dtype=np.int64))


def loses(version: Version, at: int) -> Lost:
    return Lost(version.key, version.customer_id, version.timestamp_us, version.position, at)
