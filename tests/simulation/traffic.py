"""What clients send: new events, the same again, corrections, moves between customers and months, deletions, poison.

Few keys and few moments, so that nearly everything meets something else; in some runs new keys, too, that come again
later. A client sends one request after the other,
each again with the same bytes until it is answered 2xx; several clients send at once.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

from ingest.wire import Kind, Section
from metering.world import Mode, World

WORLDS = (World("acc_1", Mode.TEST), World("acc_1", Mode.PROD), World("acc_2", Mode.PROD))
RECORD_IDS = ("r1", "r2", 7, "7", 8)
EVENT_TYPES = ("call", "seat")
CUSTOMERS = ("c1", "c2", "c\u00e9\u6f22")
MOMENTS = tuple(datetime(2024, month, day, tzinfo=UTC) for month, day in ((1, 5), (1, 31), (2, 1), (3, 9), (3, 9)))

DUPLICATES, CORRECTIONS = 0.3, 0.2
DELETIONS, POISONED = 0.12, 0.04


@dataclass(frozen=True)
class Sending:
    """One request: `events` holds the good ones as they were sent; `section` is poison that no gateway let through."""

    world: World
    method: str = "POST"
    path: str = "/v1/events/batch"
    body: bytes = b""
    events: tuple[bytes, ...] = ()
    section: Section | None = None


class Traffic:
    """An endless supply of requests."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._sent: dict[World, list[dict]] = {world: [] for world in WORLDS}
        self._numbers = iter(range(1, 1 << 30))
        self._worlds = WORLDS[: random.randint(1, len(WORLDS))]
        self._deletions = random.choice((0, DELETIONS, 2 * DELETIONS))
        self._fresh = random.choice((0, 0.3, 0.8))

    def requests(self) -> Iterator[Sending]:
        """Make requests, each from what was made before."""
        while True:
            world = self._random.choice(self._worlds)
            dice = self._random.random()
            if dice < self._deletions:
                yield self._deletion(world)
            elif dice < self._deletions + POISONED:
                yield self._poison(world)
            else:
                yield self._events(world)

    def _events(self, world: World) -> Sending:
        events = tuple(self._text(self._event(world)) for _ in range(self._random.choice((1, 1, 2, 3, 5))))
        version = self._random.choice(("v1", "v2"))
        if len(events) == 1 and self._random.random() < 0.5:
            return Sending(world, path=f"/{version}/events", body=events[0], events=events)
        elements = list(events)
        if self._random.random() < 0.1:
            elements.insert(self._random.randrange(len(elements) + 1), b'{"customer_id": "c1", "record": {"id": "r1"}}')
        body = b"[" + b", ".join(elements) + b"]"
        if self._random.random() < 0.1:
            body = b'{"events": ' + body + b"}"
        return Sending(world, path=f"/{version}/events/batch", body=body, events=events)

    def _event(self, world: World) -> dict:
        sent = self._sent[world]
        dice = self._random.random()
        if sent and dice < DUPLICATES:
            return self._random.choice(sent)
        if sent and dice < DUPLICATES + CORRECTIONS:
            event = dict(self._random.choice(sent))
            changed = self._random.choice(("moment", "customer", "amount", "spelling of the id", "all"))
            if changed == "spelling of the id" and str(event["id"]).isdecimal():
                event["id"] = str(event["id"]) if isinstance(event["id"], int) else int(event["id"])
            if changed in {"moment", "all"}:
                event["moment"] = self._random.choice(MOMENTS)
            if changed in {"customer", "all"}:
                event["customer_id"] = self._random.choice(CUSTOMERS)
            if changed in {"amount", "all"}:
                event["amount"] = next(self._numbers)
        else:
            event = {
                "customer_id": self._random.choice(CUSTOMERS),
                "moment": self._random.choice(MOMENTS),
                "event_type": self._random.choice(EVENT_TYPES),
                "id": self._record_id(),
                "amount": next(self._numbers),
            }
        sent.append(event)
        return event

    def _record_id(self) -> str | int:
        """Give one of a few ids, or one that was never used."""
        return f"n{next(self._numbers)}" if self._random.random() < self._fresh else self._random.choice(RECORD_IDS)

    def _text(self, event: dict) -> bytes:
        """Spell an event in one of the ways that mean the same."""
        moment = event["moment"]
        stamp = self._random.choice((moment.isoformat(), int(moment.timestamp()) * 1000))
        amount = self._random.choice(
            (f"{event['amount']}.5", f"{event['amount']}.50", f"{event['amount'] * 10 + 5}e-1")
        )
        head = {"customer_id": event["customer_id"], "timestamp": stamp, "event_type": event["event_type"]}
        fields = json.dumps(head, ensure_ascii=self._random.random() < 0.5)[:-1]
        return f'{fields}, "record": {{"id": {json.dumps(event["id"])}, "amount": {amount}}}}}'.encode()

    def _deletion(self, world: World) -> Sending:
        if self._random.random() < 0.4:
            # One that waits for nothing, as when its gateway stood still before it was appended.
            wanted = {"customer_ids": [self._random.choice(CUSTOMERS)], "record_ids": ["r1", "r2", "7"]}
            named = {name: wanted[name] for name in wanted if self._random.random() < 0.5}
            return Sending(world, section=Section(world, Kind.DELETION, 0, 1, json.dumps(named).encode()))
        kind = self._random.choice(("record_ids", "customer_id", "event_type", "all"))
        asked: dict = {"matching": kind}
        if kind == "record_ids":
            asked["record_ids"] = self._random.sample(RECORD_IDS, self._random.randint(1, 2))
        if kind == "customer_id":
            asked["customer_id"] = self._random.choice(CUSTOMERS)
        if kind == "event_type" or (kind != "all" and self._random.random() < 0.3):
            asked["event_type"] = self._random.choice(EVENT_TYPES)
        return Sending(world, "DELETE", "/v1/events", json.dumps(asked).encode())

    def _poison(self, world: World) -> Sending:
        """Make what a faulty release might have put into the log: nothing legible, or one faulty event among good."""
        if self._random.random() < 0.5:
            return Sending(world, section=Section(world, Kind.EVENTS, 0, 2, b'[{"customer_id": '))
        good = self._text(self._event(world))
        bad = b'{"customer_id": "c1", "timestamp": "noon", "event_type": "call", "record": {"id": "r1"}}'
        body = b"[" + b", ".join(self._random.sample((good, bad), 2)) + b"]"
        return Sending(world, events=(good,), section=Section(world, Kind.EVENTS, 0, 2, body))


async def send_until_taken(sending: Sending, attempt, random: Random):
    """Send the same bytes until they are taken, and give the answer; `attempt` gives None for any other answer."""
    pause_s = 0.05
    while (answer := await attempt(sending)) is None:
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))
        pause_s = min(2 * pause_s, 2.0)
    return answer
