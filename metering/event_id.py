"""Name an event to the outside: one id for all versions of a key, made from the key alone.

`evt_` and 26 characters of base32: the 64 bits under which the store's index of keys is ordered, so that an id can be
looked up, then 64 bits of a second hash, so that two keys of one world do not meet in one id.
"""

import base64
import binascii

from xxhash import xxh3_64_intdigest

from metering.store.keys import key_hash
from metering.world import World

_PREFIX = "evt_"
_SECOND_SEED = 1
_BYTES = 16
_PADDING = "======"


def event_id(world: World, event_type: str, record_id: str) -> str:
    """Give the id of a key; `record_id` is the record's id as text."""
    first = key_hash(world, event_type, record_id)
    second = xxh3_64_intdigest(f"{event_type}\0{record_id}".encode(), _SECOND_SEED)
    digits = base64.b32encode((first << 64 | second).to_bytes(_BYTES, "big"))
    return _PREFIX + digits.decode().rstrip("=").lower()


def key_hash_of(text: str) -> int | None:
    """Give the hash under which the index holds the key of an id; None when the text is no event id."""
    if not text.startswith(_PREFIX):
        return None
    try:
        digest = base64.b32decode(text.removeprefix(_PREFIX).upper() + _PADDING)
    except (binascii.Error, ValueError):
        return None
    return int.from_bytes(digest, "big") >> 64 if len(digest) == _BYTES else None
