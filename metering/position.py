"""Name every accepted event by one number that says where it came in, and read figures up to such a point.

A position is one unsigned 64-bit integer, `lane (16 bits) . offset (35 bits) . index in the message (13 bits)`.
A lane is one ordered stream of messages: the local log, or one Kafka partition. Within a lane a later message has
a greater position, so "what was known then" is one bound per lane: a `Cutoff`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NewType, Self
from zlib import crc32

Position = NewType("Position", int)

LANE_BITS = 16
OFFSET_BITS = 35
INDEX_BITS = 13

LANES_MAX = 1 << LANE_BITS
OFFSETS_MAX = 1 << OFFSET_BITS
POSITIONS_MAX = 1 << LANE_BITS + OFFSET_BITS + INDEX_BITS
"""No position is as great as this."""
MESSAGE_EVENTS_MAX = 1 << INDEX_BITS

_LANE_SHIFT = OFFSET_BITS + INDEX_BITS
_OFFSET_MASK = OFFSETS_MAX - 1
_INDEX_MASK = MESSAGE_EVENTS_MAX - 1


def pack(lane: int, offset: int, index: int) -> Position:
    """Give the position of the event at `index` of the message at `offset` of `lane`."""
    assert 0 <= lane < LANES_MAX
    assert 0 <= offset < OFFSETS_MAX
    assert 0 <= index < MESSAGE_EVENTS_MAX
    return Position(lane << _LANE_SHIFT | offset << INDEX_BITS | index)


def lane_of(position: int) -> int:
    """Give the lane a position lies in."""
    return position >> _LANE_SHIFT


def offset_of(position: int) -> int:
    """Give the offset of the message a position lies in."""
    return position >> INDEX_BITS & _OFFSET_MASK


def index_of(position: int) -> int:
    """Give the index of an event within its message."""
    return position & _INDEX_MASK


def last_of_message(lane: int, offset: int) -> Position:
    """Give the greatest position that an event of this message can have: the message applied whole."""
    return pack(lane, offset, _INDEX_MASK)


@dataclass(frozen=True, slots=True)
class Cutoff:
    """The point up to which a figure was read: for each lane the last position that is seen.

    A lane that is not named is not seen at all.
    """

    bounds: Mapping[int, Position]

    def encode(self) -> str:
        """Give the text that clients carry: opaque to them, in lane order, stable for equal cut-offs.

        Its end checks the rest, so that a text that lost a digit is not taken for an earlier cut-off.
        """
        text = "c1" + "".join(f"-{self.bounds[lane]:x}" for lane in sorted(self.bounds))
        return f"{text}.{crc32(text.encode()):08x}" if self.bounds else text

    @classmethod
    def decode(cls, text: str) -> Self:
        """Read what `encode` gave.

        Raises:
            ValueError: the text is no cut-off.
        """
        head, *parts = text.partition(".")[0].split("-")
        if head != "c1":
            raise ValueError(f"{text!r} is no cut-off: send a value of the X-Usage-Cutoff header, or a date-time")
        try:
            positions = [int(part, 16) for part in parts]
        except ValueError:
            raise ValueError(f"{text!r} is no cut-off: send a value of the X-Usage-Cutoff header") from None
        if any(not 0 <= position < POSITIONS_MAX for position in positions):
            raise ValueError(f"{text!r} is no cut-off: a position lies beyond 64 bits")
        cutoff = cls({lane_of(position): Position(position) for position in positions})
        if cutoff.encode() != text:
            raise ValueError(f"{text!r} is no cut-off: send a value of the X-Usage-Cutoff header as it came")
        return cutoff

    def covers(self, position: int) -> bool:
        """Tell whether a position is seen."""
        bound = self.bounds.get(lane_of(position))
        return bound is not None and position <= bound

    def includes(self, other: "Cutoff") -> bool:
        """Tell whether everything that `other` sees is seen here."""
        return all(self.covers(position) for position in other.bounds.values())


NOTHING = Cutoff({})
