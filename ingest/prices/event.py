"""Read an event that is to be priced, and name its price.

The name follows from what was sent, in canonical form: the same event sent again, however it is spelled, has the same
name, so it gets the price that is kept under it. A correction is another version and has a name of its own.
"""

import base64
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from itertools import islice
from typing import Any

import msgspec

from ingest.canonical import SentEvent, canonical_record_id, decode_events, encode_record, raw_number
from ingest.prices.pricer import PricedEvent
from ingest.requests import FAULTS_TOLD_MAX
from ingest.rules import EVENT_BYTES_MAX, event_faults, too_large
from ingest.strict_json import read_strictly
from metering.http.json import MalformedJsonError, loads
from metering.http.problem import ApiError, invalid
from metering.store.arrivals import SameVersion
from metering.timestamps import microseconds, parse_event_timestamp
from metering.world import World

_DIGEST_BYTES = 16
_NOBODY = "nobody"


class _Simulated(msgspec.Struct):
    event_type: str
    record: dict[str, Any]
    customer_id: str | None = None
    timestamp: str | int | None = None


_simulated = msgspec.json.Decoder(_Simulated, float_hook=raw_number)


@dataclass(frozen=True, slots=True)
class SentToPrice:
    """An event that was sent: as it is priced, as it is found in the store, and the name of its price."""

    priced: PricedEvent
    version: SameVersion
    calculation_id: str


def read_sent(world: World, body: bytes) -> SentToPrice:
    """Read the JSON array of one good event that went into the log."""
    (sent,) = decode_events(body)
    record_id, is_number = canonical_record_id(sent.record["id"])
    timestamp_us = parse_event_timestamp(sent.timestamp)
    priced = _priced(sent, sent.customer_id, record_id, timestamp_us)
    properties = encode_record({name: value for name, value in sent.record.items() if name != "id"})
    version = SameVersion(sent.event_type, record_id, is_number, sent.customer_id, timestamp_us, properties)
    return SentToPrice(priced, version, _name(world, version))


def read_simulated(body: bytes, now: datetime) -> PricedEvent:
    """Read an event that is only imagined: held to the rules of one that is sent, but for what may be left out.

    Without a timestamp it happens now.

    Raises:
        ApiError: 400 with all faults, 413 when it is too large.
    """
    if len(body) > EVENT_BYTES_MAX:
        fault = too_large(len(body))
        raise ApiError(413, fault.message, (fault,))
    try:
        event = read_strictly(body)
    except MalformedJsonError as error:
        raise invalid(f"malformed JSON: {error}") from None
    if isinstance(event, dict):
        given = {name: value for name, value in event.items() if value is not None}
        event = {"customer_id": _NOBODY, "timestamp": microseconds(now) // 1000, **given}
    faults = list(islice(event_faults(event), FAULTS_TOLD_MAX))
    if faults:
        raise invalid(faults[0].message, *faults)
    sent = _simulated.decode(body)
    record_id, _ = canonical_record_id(sent.record["id"])
    timestamp_us = microseconds(now) if sent.timestamp is None else parse_event_timestamp(sent.timestamp)
    return _priced(sent, sent.customer_id, record_id, timestamp_us)


def _priced(sent: SentEvent | _Simulated, customer_id: str | None, record_id: str, timestamp_us: int) -> PricedEvent:
    return PricedEvent(customer_id, sent.event_type, record_id, timestamp_us, loads(encode_record(sent.record)))


def _name(world: World, version: SameVersion) -> str:
    """Give `cal_` and 26 characters of base32; no part but the last may hold a NUL, so none runs into the next."""
    parts = (
        world.account_id,
        world.mode.value,
        version.event_type,
        version.record_id,
        str(int(version.record_id_is_number)),
        version.customer_id,
        str(version.timestamp_us),
    )
    digest = blake2b("\0".join(parts).encode() + b"\0" + version.properties, digest_size=_DIGEST_BYTES).digest()
    return "cal_" + base64.b32encode(digest).decode().rstrip("=").lower()
