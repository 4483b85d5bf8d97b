"""Clients that send, repeat, correct, move and delete, each its own keys, so that the order of a key is known."""

import asyncio
import random
import time
from dataclasses import dataclass, replace

from tests.torture.events import (
    CORRECTED,
    SHARED_CUSTOMERS,
    STEADY,
    STEADY_CUSTOMER,
    Event,
    an_event,
)
from tests.torture.stubborn import Stubborn

DUPLICATES = 0.30
CORRECTIONS = 0.20
KEYS_EACH = 10_000_000
SHARED_KEYS = range(1, 40)
EVENTS_A_REQUEST = (1, 1, 1, 2, 5, 20, 60, 200)
RECENT = 4_000
DELETING = 2
"""Only so many senders delete, which waits for the core: the others go on while there is none."""
PAUSE_S_MAX = 0.1


@dataclass(slots=True)
class Steady:
    """The events that are never corrected: when each was sent first, and when it was acknowledged (Unix seconds)."""

    sent: int
    acknowledged_at: list


class Sender:
    """One client. All it is told goes into the ledger as soon as it is told."""

    def __init__(self, number, seed, ledger, steady):
        self._chance = random.Random(f"{seed} sender {number}")
        self._number = number
        self._ledger = ledger
        self._steady = steady
        self._next_key = (number + 1) * KEYS_EACH
        self._next_serial = number
        self._sent = []
        self._retired = set()
        self._leavers = 0
        self._leaving = []

    async def run(self, url, key, stop):
        """Send until told to stop; what was begun is acknowledged first."""
        async with Stubborn(url, key) as client:
            while not stop.is_set():
                draw = self._chance.random()
                if draw < 0.1:
                    await self._beat(client)
                elif draw < 0.3 and self._number < DELETING:
                    await (self._delete_by_ids if draw < 0.2 else self._delete_a_customer)(client)
                else:
                    await self._send(client, [self._draw() for _ in range(self._chance.choice(EVENTS_A_REQUEST))])
                await asyncio.sleep(self._chance.uniform(0, PAUSE_S_MAX))
            return client.unanswered

    def _draw(self):
        """Draw a duplicate, a correction or a new event."""
        draw = self._chance.random()
        if self._sent and draw < DUPLICATES + CORRECTIONS:
            earlier = self._chance.choice(self._sent)
            if earlier.key in self._retired:
                return self._new()
            return earlier if draw < DUPLICATES else self._correction(earlier)
        return self._new()

    def _new(self):
        draw = self._chance.random()
        if draw < 0.05:
            event = self._version(self._chance.choice(SHARED_KEYS))
            self._ledger.shared.add(event.name)
            return event
        self._next_key += 1
        if draw < 0.15:
            event = replace(self._version(self._next_key), customer=self._leaver)
            self._leaving.append(event)
            return event  # Not to be drawn again: what a customer's deletion takes is then known.
        return self._version(self._next_key)

    def _correction(self, earlier):
        """Another customer, month and amount at another time; or other contents at the very same time."""
        if earlier.key in SHARED_KEYS or self._chance.random() < 0.7:
            return self._version(earlier.key)
        return replace(self._version(earlier.key), timestamp=earlier.timestamp)

    def _version(self, key):
        self._next_serial += 64  # Serials of senders never meet.
        return an_event(self._chance, key, self._chance.choice(SHARED_CUSTOMERS), self._next_serial)

    @property
    def _leaver(self):
        return f"leaver-{self._number}-{self._leavers}"

    async def _send(self, client, events):
        unclear = await client.send(events)
        for event in events:
            self._ledger.receive(event, unclear=unclear)
        self._sent.extend(event for event in events if not event.customer.startswith("leaver"))
        del self._sent[:-RECENT]

    async def _beat(self, client):
        """Send events that nobody will touch."""
        begin = self._next_key + 1
        self._next_key += self._chance.choice(EVENTS_A_REQUEST)
        events = [
            Event(STEADY, key, STEADY_CUSTOMER, "2024-03-15T12:00:00Z", "1") for key in range(begin, self._next_key + 1)
        ]
        self._steady.sent += len(events)
        unclear = await client.send(events)
        self._steady.acknowledged_at += [time.time()] * len(events)
        for event in events:
            self._ledger.receive(event, unclear=unclear)

    async def _delete_by_ids(self, client):
        own = [event for event in self._sent if event.key not in SHARED_KEYS and event.key not in self._retired]
        if not own:
            return
        keys = {event.key for event in self._chance.sample(own, min(len(own), self._chance.randrange(1, 30)))}
        ids = [str(key) if self._chance.random() < 0.5 else key for key in sorted(keys)]
        await self._delete(client, {"matching": "record_ids", "record_ids": ids, "event_type": CORRECTED}, keys)

    async def _delete_a_customer(self, client):
        leaver, keys = self._leaver, {event.key for event in self._leaving}
        self._leavers += 1
        self._leaving = []
        if keys:
            await self._delete(client, {"matching": "customer_id", "customer_id": leaver}, keys)

    async def _delete(self, client, selection, keys):
        names = [(CORRECTED, str(key)) for key in keys]
        certain = all(len(self._ledger.outcomes(name)) == 1 for name in names)
        current = sum(name in self._ledger.model.current for name in names)
        count, unclear = await client.delete(selection)
        if certain and not unclear:
            assert count == current, (selection, count, current)
        self._ledger.retract(names, unclear=unclear)
        if unclear:
            self._retired |= keys  # The attempt that had no answer may take later versions with it.
