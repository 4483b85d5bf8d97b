"""Hash the key of an event, in one way everywhere: `(account, mode, event type, record id)`.

The hash orders the index of keys, tells the producers which partition a key goes to, and tells a deletion which keys
are a lane's own. It never decides that two keys are one: whoever looks a key up compares it whole. A store holds
these numbers, so neither the text that is hashed nor the function may ever change.
"""

from dataclasses import dataclass

from xxhash import xxh3_64_intdigest

from metering.world import World

KEY_HASH_SQL = (
    "xxh3(concat(toString(account_id), char(0), toString(mode), char(0), toString(event_type), char(0), record_id))"
)
"""The same number, made by the store from its own columns."""

KEY_HASH_MAX = (1 << 64) - 1


def key_hash(world: World, event_type: str, record_id: str) -> int:
    """Give 64 bits of XXH3 over the four parts, in UTF-8, with a NUL between them: no part may contain one."""
    return xxh3_64_intdigest(f"{key_prefix(world)}{event_type}\0{record_id}".encode())


def key_prefix(world: World) -> str:
    """Give what the hashed text begins with, for those who hash many keys of one world."""
    return f"{world.account_id}\0{world.mode}\0"


@dataclass(frozen=True, slots=True)
class Share:
    """The keys that go to one partition of a log: those whose hash leaves `index` when divided by `of`."""

    index: int
    of: int

    def holds(self, hashed: int) -> bool:
        """Tell whether a key of this hash is in the share."""
        return hashed % self.of == self.index


WHOLE = Share(0, 1)
