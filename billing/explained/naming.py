"""What an event is called and what of it is shown, as its aggregator says.

`custom_event_name` stands in place of the event type. `{{key}}` in it is that property of the event, so a name may
differ from event to event. `exposed_event_keys` are the properties that are shown, all when it is empty.
"""

import re
from collections.abc import Mapping, Sequence

import msgspec

from metering.registry.aggregators import StoredAggregator
from metering.store.explorer import StoredEvent

_KEY = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")
_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])


def record_of(event: StoredEvent) -> dict[str, bytes]:
    """Give the raw JSON of each property, the id among them, first."""
    return {name: bytes(raw) for name, raw in _RAW.decode(event.record).items()}


def name_of(aggregator: StoredAggregator, event: StoredEvent, record: Mapping[str, bytes]) -> str:
    """Give an event's name; a property that it does not have is left out of it."""
    template = aggregator.details.get("custom_event_name")
    if not isinstance(template, str) or not template:
        return event.event_type
    return _KEY.sub(lambda key: text_of_raw(record.get(key[1], b"")), template)


def exposed_keys(aggregator: StoredAggregator) -> Sequence[str] | None:
    """Give the properties that are shown, in order; None is all."""
    keys = aggregator.details.get("exposed_event_keys")
    return [str(key) for key in keys] if isinstance(keys, list) and keys else None


def exposed(record: Mapping[str, bytes], keys: Sequence[str] | None) -> dict[str, bytes]:
    """Give the properties to be shown; without a choice all but the id, which stands beside them."""
    if keys is None:
        return {name: raw for name, raw in record.items() if name != "id"}
    return {name: record[name] for name in keys if name in record}


def text_of_raw(raw: bytes) -> str:
    """Give a raw JSON value as text: a string without its quotes, null and what is absent as nothing."""
    if raw in {b"", b"null"}:
        return ""
    return msgspec.json.decode(raw, type=str) if raw.startswith(b'"') else raw.decode()
