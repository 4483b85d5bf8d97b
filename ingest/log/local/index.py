"""Where frames lie, as far as a reader has seen: enough to seek without reading a log from its start.

Sparse: one entry per `SPACING_BYTES` of a segment, besides the places where reading last stopped, because the next
poll begins there. Durable frames never move, so an entry stays true for as long as its segment exists. Safe to use
from several threads.
"""

import threading
from bisect import bisect_right, insort
from typing import NamedTuple

SPACING_BYTES = 1024 * 1024
_STOPS_MAX = 16


class Place(NamedTuple):
    """A frame's offset, the first offset of its segment, and the frame's first byte there."""

    offset: int
    segment: int
    at: int


class Index:
    """Places by offset."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: list[Place] = []
        self._stops: dict[int, Place] = {}

    def add(self, place: Place) -> None:
        """Remember a place, unless one shortly before it is known."""
        with self._lock:
            before = bisect_right(self._places, place) - 1
            near = self._places[before] if before >= 0 else None
            if near is None or near.segment != place.segment or place.at - near.at >= SPACING_BYTES:
                insort(self._places, place)

    def stopped(self, place: Place) -> None:
        """Remember where a reading stopped."""
        with self._lock:
            self._stops.pop(place.offset, None)
            self._stops[place.offset] = place
            if len(self._stops) > _STOPS_MAX:
                del self._stops[next(iter(self._stops))]

    def floor(self, offset: int) -> Place | None:
        """Give the last known place at or before an offset."""
        with self._lock:
            stop = self._stops.get(offset)
            if stop is not None:
                return stop
            before = bisect_right(self._places, offset, key=lambda place: place.offset) - 1
            return self._places[before] if before >= 0 else None

    def forget_before(self, segment: int) -> None:
        """Drop the places in segments that are gone."""
        with self._lock:
            self._places = [place for place in self._places if place.segment >= segment]
            self._stops = {offset: place for offset, place in self._stops.items() if place.segment >= segment}
