"""What a run of messages holds, in the order in which it has to be applied.

Decoding is strict about bytes and generous about the rest: a section that no events can be made of becomes a dead
letter with its reason, and the line goes on. Its positions stay taken, so nothing behind it moves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ingest import deletion, wire
from ingest.canonical import FaultyEventError, decode_events
from ingest.consumer.run import EventRun
from ingest.consumer.seams import DeadLetter
from ingest.deletion import DeletionError
from ingest.errors import LogTooNewError
from ingest.log.protocol import Message
from metering.position import MESSAGE_EVENTS_MAX, Position, last_of_message, pack
from metering.store.versions import Retraction, Versions
from metering.world import World


@dataclass(frozen=True, slots=True)
class Deletion:
    """A deletion at its position: everything before it in its lane has to be written first."""

    partition: int
    position: Position
    retraction: Retraction


@dataclass(slots=True)
class Batch:
    """Messages, decoded. `marks` is the last position of each lane, `next_offsets` where each partition goes on."""

    parts: list[Versions | Deletion] = field(default_factory=list)
    customers: dict[World, set[str]] = field(default_factory=dict)
    dead: list[DeadLetter] = field(default_factory=list)
    sections: int = 0
    marks: dict[int, Position] = field(default_factory=dict)
    next_offsets: dict[int, int] = field(default_factory=dict)


def decode(messages: Sequence[Message], lanes: Mapping[int, int]) -> Batch:
    """Decode messages, each partition's in the order of their offsets; `lanes` gives the lane of each partition.

    Raises:
        LogTooNewError: a newer release wrote a message, so its events must wait for that release.
    """
    batch = Batch()
    run = EventRun()
    for message in messages:
        lane = lanes[message.partition]
        if message.payload[:1] > bytes([wire.FORMAT_VERSION]):
            raise LogTooNewError(
                f"message {message.offset} of partition {message.partition} has format {message.payload[0]}, this "
                f"release reads format {wire.FORMAT_VERSION}: run the newer release"
            )
        index = 0
        try:
            for section in wire.decode(message.payload):
                if index + section.events > MESSAGE_EVENTS_MAX:
                    raise wire.WireError(f"more than {MESSAGE_EVENTS_MAX} events in one message")  # noqa: TRY301
                position = pack(lane, message.offset, index)
                index += section.events
                batch.sections += 1
                if section.kind is wire.Kind.EVENTS:
                    _add_events(run, section, position, batch)
                else:
                    _flush(run, batch)
                    run = EventRun()
                    _add_deletion(section, message.partition, position, batch)
        except (wire.WireError, UnicodeDecodeError) as error:
            position = pack(lane, message.offset, min(index, MESSAGE_EVENTS_MAX - 1))
            batch.sections += 1
            batch.dead.append(DeadLetter(position, None, str(error), message.payload))
        batch.marks[lane] = last_of_message(lane, message.offset)
        batch.next_offsets[message.partition] = message.offset + 1
    _flush(run, batch)
    return batch


def _add_events(run: EventRun, section: wire.Section, position: Position, batch: Batch) -> None:
    try:
        events = decode_events(section.body)
        if len(events) != section.events:
            raise FaultyEventError(f"{len(events)} events where the section's head says {section.events}")  # noqa: TRY301
    except FaultyEventError as error:
        batch.dead.append(DeadLetter(position, section.world, str(error), section.body))
    else:
        run.add(section.world, position, section.received_at_us, events)


def _add_deletion(section: wire.Section, partition: int, position: Position, batch: Batch) -> None:
    try:
        retraction = deletion.decode(section.world, section.body)
    except DeletionError as error:
        batch.dead.append(DeadLetter(position, section.world, str(error), section.body))
    else:
        batch.parts.append(Deletion(partition, position, retraction))


def _flush(run: EventRun, batch: Batch) -> None:
    if run:
        versions, dead = run.versions(batch.customers)
        batch.dead.extend(dead)
        batch.parts.append(versions)
