"""What a run of messages holds, in the order in which it has to be applied.

Decoding is strict about bytes and generous about the rest: a section that no events can be made of becomes a dead
letter with its reason, and the line goes on. Its positions stay taken, so nothing behind it moves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ingest import deletion, wire
from ingest.canonical import FaultyEventError, decode_events
from ingest.consumer.run import RUN_EVENTS_MAX, EventRun
from ingest.consumer.seams import DeadLetter
from ingest.deletion import DeletionError
from ingest.errors import LogTooNewError
from ingest.log.protocol import Message
from metering.position import MESSAGE_EVENTS_MAX, Position, last_of_message, pack
from metering.retraction import Retraction
from metering.store.columns import join
from metering.store.versions import Versions
from metering.world import World

TRACES_MAX = 128
"""As many links as a span has by default; requests beyond go untold."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """A deletion at its position: everything before it in its lane has to be written first."""

    partition: int
    position: Position
    retraction: Retraction


@dataclass(slots=True)
class Batch:
    """Messages, decoded. `marks` is the last position of each lane, `next_offsets` where each partition goes on.

    `begins_at` is, of each partition that is read, where the reading was that came to this.
    """

    parts: list[Versions | Deletion] = field(default_factory=list)
    customers: dict[World, set[str]] = field(default_factory=dict)
    dead: list[DeadLetter] = field(default_factory=list)
    sections: int = 0
    marks: dict[int, Position] = field(default_factory=dict)
    next_offsets: dict[int, int] = field(default_factory=dict)
    begins_at: dict[int, int] = field(default_factory=dict)
    traces: list[bytes] = field(default_factory=list)
    """The contexts of traced requests, the first `TRACES_MAX`, each once."""


def decode(messages: Sequence[Message], lanes: Mapping[int, int]) -> Batch:
    """Decode messages, each partition's in the order of their offsets; `lanes` gives the lane of each partition.

    Raises:
        LogTooNewError: a newer release wrote a message, so its events must wait for that release.
    """
    batch = Batch()
    runs = _Runs(batch)
    for message in messages:
        lane = lanes[message.partition]
        if message.payload[:1] > bytes([wire.NEWEST_VERSION]):
            raise LogTooNewError(
                f"message {message.offset} of partition {message.partition} has format {message.payload[0]}, this "
                f"release reads formats 1 to {wire.NEWEST_VERSION}: run the newer release"
            )
        index = 0
        try:
            for section in wire.decode(message.payload):
                if index + section.events > MESSAGE_EVENTS_MAX:
                    raise wire.WireError(f"more than {MESSAGE_EVENTS_MAX} events in one message")  # noqa: TRY301
                position = pack(lane, message.offset, index)
                index += section.events
                batch.sections += 1
                if section.trace and len(batch.traces) < TRACES_MAX and section.trace not in batch.traces:
                    batch.traces.append(section.trace)
                if section.kind is not wire.Kind.DELETION:
                    runs.add(section, position)
                else:
                    runs.end()
                    _add_deletion(section, message.partition, position, batch)
        except (wire.WireError, UnicodeDecodeError) as error:
            position = pack(lane, message.offset, min(index, MESSAGE_EVENTS_MAX - 1))
            batch.sections += 1
            batch.dead.append(DeadLetter(position, None, str(error), message.payload))
        batch.marks[lane] = last_of_message(lane, message.offset)
        batch.next_offsets[message.partition] = message.offset + 1
    runs.end()
    return batch


class _Runs:
    """Events as they come in, laid out a run at a time, until a deletion or the end puts them into the batch."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._run = EventRun()
        self._laid_out: list[Versions] = []

    def add(self, section: wire.Section, position: Position) -> None:
        """Add a section of events."""
        try:
            events = decode_events(section.body, redacted=section.kind is wire.Kind.REDACTED)
            if len(events) != section.events:
                raise FaultyEventError(f"{len(events)} events, the section's head says {section.events}")  # noqa: TRY301
        except FaultyEventError as error:
            self._batch.dead.append(DeadLetter(position, section.world, str(error), section.body))
        else:
            self._run.add(section.world, position, section.received_at_us, events)
            if self._run.count >= RUN_EVENTS_MAX:
                self._lay_out()

    def end(self) -> None:
        """Put what was added into the batch as one part."""
        self._lay_out()
        if self._laid_out:
            self._batch.parts.append(join(self._laid_out))
            self._laid_out = []

    def _lay_out(self) -> None:
        if self._run.count:
            versions, dead = self._run.versions(self._batch.customers)
            self._laid_out.append(versions)
            self._batch.dead.extend(dead)
            self._run = EventRun()


def _add_deletion(section: wire.Section, partition: int, position: Position, batch: Batch) -> None:
    try:
        retraction = deletion.decode(section.world, section.body)
    except DeletionError as error:
        batch.dead.append(DeadLetter(position, section.world, str(error), section.body))
    else:
        batch.parts.append(Deletion(partition, position, retraction))
