"""Bugs that the simulation has to notice: a test of the tests.

Most are one line of the product, changed (`changed`): the text that is replaced must be there, so a bug cannot go stale
unseen. Others replace a method. Each says what it breaks. Those with seeds have to be noticed by one of them.
"""

import asyncio
import importlib
import inspect
import textwrap
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np

from deploy.adapters import RegistryLanes
from ingest.consumer.consumer import Consumer
from ingest.consumer.customers import KnownCustomers
from ingest.consumer.seen import SeenKeys, seen_keys_of
from metering.errors import UnavailableError
from metering.store.columns import current_versions_of
from tests.simulation.disk import ProcessFiles
from tests.simulation.store import StoreClient

SEEDS = range(500)
MANY_SEEDS = range(1_500)
"""For what only a rare sequence of faults shows: some do within a hundred seeds, but not whatever the dice."""


@dataclass(frozen=True)
class PlantedBug:
    """A bug: `plant` puts it in for the time of a `with` block.

    `seeds` are tried in order until one notices it; None as long as none is known that does.
    """

    name: str
    plant: Callable[[], AbstractContextManager]
    seeds: range | None


PLANTED: dict[str, PlantedBug] = {}


def planted(seeds: range | None = SEEDS):
    """Register a function that gives the context manager."""

    def register(plant):
        PLANTED[plant.__name__] = PlantedBug(plant.__name__, plant, seeds)
        return plant

    return register


@contextmanager
def changed(target: str, old: str, new: str, *also: str):
    """Compile a function of the product again with one text in place of another, and put it at `target` and `also`."""
    owner, name = _owner(target)
    function = inspect.getattr_static(owner, name)
    plain = function.__func__ if isinstance(function, classmethod | staticmethod) else function
    source = textwrap.dedent(inspect.getsource(plain))
    assert source.count(old) == 1, f"{target} holds {source.count(old)} times what is to be changed: {old!r}"
    found: dict = {}
    exec(compile(source.replace(old, new), target, "exec"), plain.__globals__, found)
    with ExitStack() as stack:
        for each in (target, *also):
            stack.enter_context(patch.object(*_owner(each), found[name]))
        yield


def _owner(target: str):
    path, _, name = target.rpartition(".")
    module, _, class_name = path.rpartition(".")
    if class_name.lstrip("_")[0].isupper():
        return getattr(importlib.import_module(module), class_name), name
    return importlib.import_module(path), name


# The order of writing.


@planted()
def keys_before_events():
    """The index says that rows exist before they do."""

    async def write(self, verdict):
        versions = verdict.versions.rows()
        await self.put_keys([versions[row] for row in verdict.current.tolist()])
        await self.put_events(versions)
        await self.put_superseded(verdict.superseded)

    return patch.object(StoreClient, "write", write)


@planted()
def keys_before_losses():
    """A crash in between leaves two versions of one key current for ever."""

    async def write(self, verdict):
        versions = verdict.versions.rows()
        await self.put_events(versions)
        await self.put_keys([versions[row] for row in verdict.current.tolist()])
        await self.put_superseded(verdict.superseded)

    return patch.object(StoreClient, "write", write)


@planted()
def mark_before_write():
    """Commit before write: readers see a batch that is not there, and a crash loses it."""
    real = Consumer._apply

    async def apply(self, batch):
        await self._mark(batch)
        return await real(self, batch)

    return patch.object(Consumer, "_apply", apply)


@planted()
def cursor_moves_before_write():
    """A batch that could not be written is passed over."""
    real = Consumer._apply

    async def apply(self, batch):
        self._next_offsets |= batch.next_offsets
        return await real(self, batch)

    return patch.object(Consumer, "_apply", apply)


@planted()
def customers_on_the_side():
    """Nobody waits until customers are made."""
    return patch.object(KnownCustomers, "ensure", _on_the_side(KnownCustomers.ensure))


@planted()
def dead_letters_on_the_side():
    """Nobody waits until dead letters are kept."""
    return patch.object(StoreClient, "put", _on_the_side(StoreClient.put))


def _on_the_side(real):
    async def forgotten(*arguments):
        with suppress(UnavailableError):
            await real(*arguments)

    async def begin(*arguments):
        asyncio.get_running_loop().create_task(forgotten(*arguments))

    return begin


# What is known before a batch.


@planted()
def look_up_lags():
    """A replica tells what was true a second ago."""
    copies: dict[int, tuple] = {}

    async def current_versions(self, hashes):
        now = self._process.scheduler.now
        at, copy = copies.get(id(self._tables), (-1.0, {}))
        if now - at > 1:
            copy = dict(self.keys)
            copies[id(self._tables)] = (now, copy)
        wanted = set(hashes.tolist())
        return current_versions_of({key: entry for key, entry in copy.items() if entry.key_hash in wanted})

    return patch.object(StoreClient, "current_versions", current_versions)


@planted()
def filter_forgets():
    """A filter that denies a key it has seen counts an event twice, where nothing is known to be there."""
    return patch.object(SeenKeys, "meet", lambda _, hashes: np.zeros(len(hashes), np.bool_))


@planted()
def filter_decides():
    """What the filter has seen is taken for a duplicate."""
    real = Consumer._judge

    async def judge(self, arrivals, begins_at):
        seen = self._look_up._seen
        new = arrivals if seen is None else arrivals.take(np.flatnonzero(~seen.maybe(arrivals.key_hash)))
        return await real(self, new, begins_at)

    return patch.object(Consumer, "_judge", judge)


@planted()
def filter_starts_empty():
    """The keys of earlier lives are not read from the store."""
    return changed(
        "ingest.consumer.seen.seen_keys_of", "seen.meet(found)", "pass", "ingest.consumer.look_up.seen_keys_of"
    )


@planted(None)
def filter_filled_before_cut_off_is_read():
    """What another consumer writes and marks in between is in neither, and the place it is given hides that."""
    real = Consumer.start

    async def start(self):
        early = await seen_keys_of(self._store, {}, 0)
        await asyncio.sleep(3)  # As a start takes whose registry is slow.
        await real(self)
        self._look_up._seen, self._look_up._canaries = early
        early[0].read_to = self._by_lane(self._next_offsets)
        self._look_up._fingerprint = early[0].fingerprint()

    return patch.object(Consumer, "start", start)


_ASK_FILTER = "ingest.consumer.look_up.KeyLookUp._met_before"


@planted()
def filter_kept_over_a_move():
    """A partition that comes back is read with the filter of the time before it went: its place is not looked at."""
    real = Consumer.start
    kept: dict = {}

    async def start(self):
        await real(self)
        self._look_up = kept.setdefault(id(asyncio.get_running_loop()), self._look_up)
        if self._look_up._seen is not None:
            self._look_up._seen.read_to = self._by_lane(self._next_offsets)

    return patch.object(Consumer, "start", start)


@planted()
def filter_of_another_time_believed():
    """An older copy is taken for the filter that was filled here."""
    return changed(_ASK_FILTER, "if seen.fingerprint() != self._fingerprint:", "if False:")


@planted()
def damaged_filter_believed():
    """Bits that were lost are not missed."""
    return changed("ingest.consumer.seen.SeenKeys._intact", "if damaged:", "if False:")


@planted()
def wrong_filter_still_skips():
    """A filter that was found wrong still says what is looked up."""
    return changed(
        "ingest.consumer.look_up.KeyLookUp.known", "return await self._ask(arrivals.key_hash)", "return NOTHING_KNOWN"
    )


# The decision.

_DECIDE = "ingest.consumer.decide.decide_singly"


@planted()
def tie_break_dropped():
    """Of equal timestamps the first received wins."""
    return changed(
        _DECIDE, "arrival.timestamp_us >= current.timestamp_us", "arrival.timestamp_us > current.timestamp_us"
    )


@planted()
def last_received_wins():
    """The timestamp is not looked at."""
    return changed(_DECIDE, "elif arrival.timestamp_us >= current.timestamp_us:", "elif True:")


@planted()
def replay_decides_again():
    """What the index knows to be there is decided once more."""
    return changed(_DECIDE, "elif arrival.position <= current.position:", "elif False:")


@planted()
def deleted_for_ever():
    """A key is not used again after a deletion."""
    return changed(_DECIDE, "(current.deleted and arrival.position > current.position)", "False")


@planted()
def loss_dated_back():
    """The loser loses at its own position, not at the winner's: yesterday's figure changes."""
    return changed(_DECIDE, "_lost(key, current, arrival.position)", "_lost(key, current, current.position)")


@planted()
def beaten_version_not_stored():
    """A version that arrives already beaten is thrown away."""
    return changed(
        _DECIDE,
        """            accepted.append(row)
            superseded.append(_lost(key, _standing(arrival, row), arrival.position))
""",
        "            pass\n",
    )


@planted()
def moves_between_customers_dropped():
    """A version that differs by its customer alone is taken for a duplicate."""
    return changed("ingest.consumer.decide._settled", '_same(arriving, standing, "customer_id") & ', "")


@planted()
def moves_between_months_dropped():
    """A version that differs by its timestamp alone is taken for a duplicate."""
    return changed(
        "ingest.consumer.decide._equal", "arrival.timestamp_us == current.timestamp_us", "arrival.timestamp_us > 0"
    )


@planted()
def number_and_text_ids_are_one_content():
    """The id 7 sent again as "7" is taken for a duplicate."""
    return changed("ingest.consumer.run._content_hashes", "not is_number.any()", "True")


# Deletions.

_RETRACT = "metering.store.memory.MemoryVersionStore.retract"


@planted()
def deletion_overtakes_its_batch():
    """What came before a deletion in its batch is written after it."""
    return changed(
        "ingest.consumer.batch.decode", "                    runs.end()\n", "", "ingest.consumer.consumer.decode"
    )


@planted()
def deletion_takes_others_keys():
    """The deletion in one partition takes keys of another, which that one's does, too."""
    return changed(_RETRACT, "and share.holds(event.key_hash)", "and True")


@planted()
def deletion_takes_what_had_lost():
    """A version that was superseded long ago loses again."""
    return changed(_RETRACT, "if lost_at < at", "if False")


@planted()
def deletion_buries_nothing():
    """The index takes a deleted key for a current one."""
    return changed(_RETRACT, "deleted=True", "deleted=False")


@planted()
def deletion_in_one_partition():
    """A deletion is sent to the first partition alone."""
    return changed(
        "ingest.log.kafka.shares.deal",
        "[(partition, section) for partition in range(partitions)]",
        "[(0, section)]",
        "tests.simulation.topic.deal",
    )


@planted()
def deletion_counted_before_applied():
    """The answer to a deletion does not wait for it."""
    return changed(
        "ingest.consumer.progress.LogProgress.reached",
        "return position if await wait_until_applied(self._store, Cutoff({lane: position}), wait_s_max) else None",
        "return position",
    )


# Partitions and lanes.


@planted()
def key_in_two_partitions():
    """The partition follows from the moment, not from the key."""
    return changed(
        "ingest.log.kafka.shares._partitions_of",
        'xxh3_64_intdigest(f"{prefix}{event.event_type}\\0{identifier}".encode()) % partitions',
        "section.received_at_us // 1_000_000 % partitions",
    )


@planted()
def lanes_numbered_anew():
    """Each start gives a partition another lane."""
    starts: dict[int, int] = {}

    async def lane_of(self, _log_id, partition):
        await self._registry.write(lambda _: None)
        return partition + 3 * starts.setdefault(id(asyncio.get_running_loop()), len(starts))

    return patch.object(RegistryLanes, "lane_of", lane_of)


# The consumer's word.


@planted()
def applied_said_too_early():
    """Whoever waits for the figures is told at once that they are there."""
    return changed(
        "ingest.consumer.progress.LogProgress.wait_until_applied",
        "return await wait_until_applied(self._store, wanted, give_up_at - loop.time())",
        "return True",
    )


@planted()
def poison_takes_its_neighbours():
    """One faulty event makes its whole run a dead letter."""
    return changed(
        "ingest.consumer.run.EventRun.versions",
        "kept = np.flatnonzero(good).tolist()",
        "kept = []\n        good[:] = False",
    )


# The gateway.


@planted()
def answered_before_appended():
    """2xx goes out while the log still writes."""
    return changed(
        "ingest.gateway.gateway.Gateway._append",
        "receipt = await self._log.append(section)",
        "append = self._log.append(section)\n"
        "            receipt = await append if kind is Kind.DELETION else __import__('asyncio').ensure_future(append)",
    )


@planted()
def failed_append_answered_well():
    """What is not known to be stored is answered 2xx."""
    return changed(
        "ingest.gateway.gateway.Gateway.answer",
        'response = error_response(unavailable(f"not known to be stored: {error}"))',
        "response = json_response({}, 201)",
    )


@planted()
def receipts_of_shared_messages():
    """Each section of a message is told the place of the first."""
    return changed("ingest.log.waiting.answer", "index += append.events", "pass", "ingest.log.local.writer.answer")


# The local log.

_COMMIT = "ingest.log.local.appender.Appender.commit"


@planted()
def acknowledged_before_fsync():
    """Nothing is synced."""
    return changed(_COMMIT, "self._files.sync(self._descriptor)", "pass")


@planted()
def published_before_fsync():
    """Readers see what a power cut may take."""
    return changed(
        _COMMIT,
        "self._files.sync(self._descriptor)\n",
        "self._ends.publish(End(first + len(messages), events))\n    self._files.sync(self._descriptor)\n",
    )


@planted()
def failed_sync_tried_again():
    """The second sync succeeds, and the pages are gone."""
    real = ProcessFiles.sync

    def sync(self, descriptor):
        try:
            real(self, descriptor)
        except OSError:
            real(self, descriptor)

    return patch.object(ProcessFiles, "sync", sync)


@planted()
def failed_write_ignored():
    """A disk that is full is not noticed."""
    real = ProcessFiles.write

    def write(self, descriptor, buffers, at):
        with suppress(OSError):
            real(self, descriptor, buffers, at)

    return patch.object(ProcessFiles, "write", write)


@planted(MANY_SEEDS)
def torn_tail_kept():
    """What a crash left half written is not cut: it shows where less is written over it, and the segment then ends."""
    return changed("ingest.log.local.recovery._settle", "files.truncate(descriptor, scan.size)", "pass")


@planted(MANY_SEEDS)
def recovery_trusts_memory():
    """Whole frames that no writer is known to have synced are published unsynced; then the power goes."""
    return changed(
        "ingest.log.local.recovery._settle",
        "        files.write(descriptor, [piece], at)\n    files.sync(descriptor)\n",
        "        pass\n",
    )


@planted()
def checksums_ignored():
    """A frame is whole when its head is."""
    return changed(
        "ingest.log.frames.read_frame",
        "if zlib.crc32(frame[_START.size :]) != head.crc:",
        "if False:",
        "ingest.log.local.recovery.read_frame",
        "ingest.log.local.segments.read_frame",
    )


@planted()
def segment_names_not_synced():
    """A power cut takes a segment's name, and with it all that was acknowledged in it."""
    return changed(
        "ingest.log.local.folder.create_segment",
        "    files.sync_folder(folder)\n",
        "",
        "ingest.log.local.appender.create_segment",
    )


@planted()
def log_id_not_synced():
    """A power cut leaves a log with an empty id."""
    return changed(
        "ingest.log.local.folder.write_whole",
        "        files.sync(descriptor)\n",
        "        pass\n",
        "ingest.log.local.appender.write_whole",
        "ingest.log.local.end.write_whole",
    )


@planted()
def two_appenders():
    """The lock is not looked at, so a second process appends beside the first."""
    return changed(
        "ingest.log.local.folder.lock", "if not files.lock(descriptor):", "if False:", "ingest.log.local.appender.lock"
    )


# Trimming.

_TRIM = "ingest.log.local.appender.trim"


@planted()
def trimmed_to_the_end():
    """Segments go that nobody has applied."""
    return changed(
        _TRIM,
        "bound = min(before_offset, now.end.next_offset)",
        "bound = now.end.next_offset",
        "ingest.log.local.writer.trim",
    )


@planted()
def trimmed_end_not_written():
    """A log that was trimmed to its end does not know where it ended."""
    return changed(_TRIM, "write_trimmed(folder, now, files)", "pass", "ingest.log.local.writer.trim")


@planted()
def trimmed_before_marked():
    """The log lets go of a batch that is then not written."""
    real = Consumer._apply

    async def apply(self, batch):
        if self._applied_hint is not None:
            await self._applied_hint(self._next_offsets | batch.next_offsets)
        return await real(self, batch)

    return patch.object(Consumer, "_apply", apply)


# The spool.


@planted()
def spool_moves_on_unsent():
    """What the log did not take is passed over."""
    return changed(
        "ingest.log.spool.keeper.SpoolKeeper.forward",
        "await self._move(messages[:sent])",
        "await self._move(messages)",
    )


@planted()
def spool_forgets_at_start():
    """What an earlier process left is taken for forwarded."""
    return changed("ingest.log.spool.cursor.Cursor.__init__", "self.at = written(folder, end, files)", "self.at = end")


@planted()
def spool_takes_deletions():
    """The answer to a deletion counts nothing."""
    return changed("ingest.log.spool.writer.SpoolingLogWriter.append", "if section.kind is Kind.DELETION:", "if False:")


@planted()
def spooled_said_to_be_applied():
    """Whoever waits for the figures is not told of what waits in the spool."""
    return changed(
        "ingest.consumer.progress.LogProgress.wait_until_applied",
        "if self._spool is not None and not await",
        "if False and not await",
    )


# The log's socket.

_DONE = "ingest.log.server.LogServer._done"


@planted()
def remote_receipts_begin_their_message():
    """Each client of the log's process is told that its message begins with what it sent."""
    return changed(
        _DONE,
        "Answer(Status.DONE, index, request.request_id, offset)",
        "Answer(Status.DONE, 0, request.request_id, offset)",
    )


@planted()
def remote_failures_answered_well():
    """What the log could not write is told to be done."""
    return changed(_DONE, "Status.UNAVAILABLE", "Status.DONE")


@planted()
def lost_connection_taken_for_an_answer():
    """What was under way when the log's process died is told to be done."""
    return changed(
        "ingest.log.client._Connection._refuse",
        "refuse(appends, LogUnavailableError, "
        '"the connection to the log process was lost: outcome unknown, send again")',
        "answer(appends, 0)",
    )


@planted()
def half_requests_taken():
    """A request is taken although not all of it has come."""
    return changed("ingest.log.server._Connection.data_received", "            break\n", "            pass\n")
