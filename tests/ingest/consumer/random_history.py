"""A log of random events and deletions over a few keys, and what the figures must be: for a consumer that is killed."""

import json
from dataclasses import dataclass

from ingest import deletion
from ingest.log.protocol import Message
from ingest.wire import Kind, Section, encode
from metering.position import Cutoff, lane_of, last_of_message, pack
from metering.retraction import Retraction
from metering.store.keys import Share, key_hash
from metering.world import Mode, World

WORLDS = (World("acc_1", Mode.TEST), World("acc_1", Mode.PROD))


@dataclass(frozen=True)
class Sent:
    """What the model knows of one position."""

    world: World
    record_id: str = ""
    event_type: str = ""
    customer_id: str = ""
    minute: int = 0
    content: int = 0
    retraction: Retraction | None = None


class History:
    """A log of random events and deletions over a few keys, and what the figures must be at any position."""

    def __init__(self, random, appends_max=30):
        self.partitions = random.randrange(1, 3)
        self.messages = {partition: [] for partition in range(self.partitions)}
        self.sent: dict[int, Sent] = {}
        for _ in range(random.randrange(appends_max // 6, appends_max)):
            self._append(random)

    def _append(self, random):
        world = random.choice(WORLDS)
        if random.random() < 0.12:
            retraction = Retraction(
                world,
                random.choice([None, "call"]),
                random.choice([None, None, ["c1"]]),
                random.choice([None, None, ["r1", "r2"]]),
            )
            for partition in self.messages:
                section = Section(world, Kind.DELETION, 0, 1, deletion.encode(retraction))
                self._message(partition, section, [Sent(world, retraction=retraction)])
            return
        events = [
            Sent(
                world,
                random.choice(["r1", "r2", "r3"]),
                random.choice(["call", "load"]),
                random.choice(["c1", "c2"]),
                random.randrange(4),
                random.randrange(2),
            )
            for _ in range(random.randrange(1, 5))
        ]
        for partition in self.messages:
            own = [event for event in events if self.share(partition).holds(hash_of(event))]
            if own:
                self._message(partition, section_of(world, own), own)

    def share(self, partition):
        return Share(partition, self.partitions)

    def _message(self, partition, section, sents):
        messages = self.messages[partition]
        for index, sent in enumerate(sents):
            self.sent[pack(partition, len(messages), index)] = sent
        messages.append(Message(partition, len(messages), len(sents), 0, encode([section])))

    def ends(self):
        return {partition: len(messages) for partition, messages in self.messages.items()}

    def whole(self):
        return Cutoff(
            {
                partition: last_of_message(partition, len(messages) - 1)
                for partition, messages in self.messages.items()
                if messages
            }
        )

    def figures(self, lane, bound):
        """Give the position of the current version of each key of a lane, as a plain walk over the log says."""
        current: dict[tuple, tuple[int, Sent]] = {}
        for position in sorted(self.sent):
            sent = self.sent[position]
            if lane_of(position) != lane or position > bound:
                continue
            if sent.retraction is not None:
                current = {key: entry for key, entry in current.items() if not matches(sent.retraction, entry[1])}
                continue
            key = (sent.world, sent.event_type, sent.record_id)
            standing = current.get(key)
            if standing is None or (sent.minute >= standing[1].minute and sent != standing[1]):
                current[key] = (position, sent)
        return {key: position for key, (position, _) in current.items()}


class ChoppedReader:
    """A reader that gives as many messages at once as chance has it."""

    log_id = "log_simulated"

    def __init__(self, history, random):
        self._history = history
        self._random = random
        self._gave = False

    async def ends(self):
        return self._history.ends()

    async def poll(self, after, **_limits):
        if self._gave:
            self._gave = False
            return []
        found = []
        for partition, offset in after.items():
            found += self._history.messages[partition][offset : offset + self._random.randrange(4)]
        self._gave = bool(found)
        return found

    async def close(self):
        pass


class PartitionLanes:
    async def lane_of(self, _log_id, partition):
        return partition


def hash_of(sent):
    return key_hash(sent.world, sent.event_type, sent.record_id)


def section_of(world, events):
    body = [
        {
            "customer_id": event.customer_id,
            "timestamp": f"2024-0{1 + event.minute}-01T00:00:00Z",
            "event_type": event.event_type,
            "record": {"id": event.record_id, "content": event.content},
        }
        for event in events
    ]
    return Section(world, Kind.EVENTS, 0, len(events), json.dumps(body).encode())


def matches(retraction, sent):
    return (
        sent.world == retraction.world
        and (retraction.event_type is None or sent.event_type == retraction.event_type)
        and (retraction.customer_ids is None or sent.customer_id in retraction.customer_ids)
        and (retraction.record_ids is None or sent.record_id in retraction.record_ids)
    )
