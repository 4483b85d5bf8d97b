"""What children of `meterline rebuild` do: `python -m deploy.rebuild.steps JSON`, one store a process.

chDB allows one engine a process and one process a path, so the old store and the new one are each opened by a process
of their own, which writes what it found to a file. Progress goes to the output, one JSON object a line. A child ends
when its input closes: it does not outlive the command.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from deploy.adapters import RegistryCustomers, RegistryLanes
from deploy.clock import now
from deploy.log_choice import open_before, open_reader
from deploy.parts import PartConfig
from deploy.rebuild.survey import Survey, survey
from ingest.consumer.consumer import Consumer
from ingest.consumer.dead_letters import StoreDeadLetters
from ingest.consumer.lanes import accepted, lanes_of
from ingest.errors import IngestError
from ingest.log.chain import LogChain
from ingest.log.protocol import Backlog, LogReader, Message
from metering.errors import MeteringError
from metering.position import Cutoff
from metering.registry.engine import Registry
from metering.store.carried import export, take_over
from metering.store.chains import ChainStore
from metering.store.client import Store
from metering.store.digests import Group, applied_to, rows_of
from metering.store.migrations import migrate
from metering.timestamps import EPOCH
from metering.world import World

EXIT_FAILED = 1


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What one child is to do to the store at `config.store_url`.

    `fill`: apply the log to its end, making `customers` where events name new ones. `takes_over`, `exports`: the folder
    from or to which what the log does not know is carried. `passes_poison`: dead letters were passed before, so they
    never stop it. `survey`: write the digests to `out`. `rows`: write the rows of groups to `out`.
    """

    config: PartConfig
    fill: bool = False
    takes_over: str = ""
    exports: str = ""
    survey: bool = False
    customers: bool = False
    passes_poison: bool = False
    rows: Sequence[tuple[str, Group]] = ()
    out: str = ""


async def run(step: Step) -> None:
    """Do it."""
    registry = Registry(step.config.registry_url)
    store = await asyncio.to_thread(Store.open, step.config.store_url)
    try:
        await asyncio.to_thread(migrate, store)
        if step.fill:
            reached = await _fill(step, registry, store)
            if step.takes_over:
                await asyncio.to_thread(take_over, store, Path(step.takes_over), reached)
        if step.exports:
            await asyncio.to_thread(export, store, Path(step.exports))
        if step.survey:
            found = await asyncio.to_thread(_survey, registry, store)
            await asyncio.to_thread(_write, step, found)
        if step.rows:
            rows = [await asyncio.to_thread(rows_of, store, table, group) for table, group in step.rows]
            await asyncio.to_thread(_write, step, rows)
    finally:
        await asyncio.to_thread(store.close)
        registry.close()


async def _fill(step: Step, registry: Registry, store: Store) -> Cutoff:
    log = _clocked(await open_reader(step.config, await open_before(step.config)))
    lanes = RegistryLanes(registry)
    versions = ChainStore(store)
    wanted = await accepted(log, await lanes_of(log, lanes))
    ends = await log.ends()
    done = asyncio.Event()

    async def hint(next_offsets: Mapping[int, int]) -> None:
        _say({"offsets": sum(next_offsets.values()), "of": sum(ends.values())})
        if (await versions.applied()).includes(wanted):
            done.set()

    registrar = RegistryCustomers(registry) if step.customers else _NoCustomers()
    letters = StoreDeadLetters(store)
    consumer = Consumer(
        log,
        versions,
        lanes,
        registrar,
        letters,
        clock=log.clock,
        applied_hint=hint,
        poison_stops=not step.passes_poison,
    )
    await consumer.start()
    consuming = asyncio.create_task(consumer.run())
    waiting = asyncio.create_task(done.wait())
    try:
        await asyncio.wait({consuming, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if consuming.done():
            await consuming
    finally:
        for task in (consuming, waiting):
            task.cancel()
        await asyncio.gather(consuming, waiting, return_exceptions=True)
        await log.close()
    return await asyncio.to_thread(applied_to, store)


def _survey(registry: Registry, store: Store) -> Survey:
    with registry.reading() as connection:
        return survey(connection, store)


def _write(step: Step, found: object) -> None:
    Path(step.out).write_bytes(msgspec.json.encode(found))


class _ClockedLog:
    """A log whose clock stands where its messages were taken: marks made from it carry the times of their messages."""

    def __init__(self, log: LogReader) -> None:
        self._log = log
        self._at_us = 0

    @property
    def log_id(self) -> str:
        """What tells this log from any other."""
        return self._log.log_id

    def clock(self) -> datetime:
        """Give when the newest message that was read was taken, the present before there was one."""
        return EPOCH + timedelta(microseconds=self._at_us) if self._at_us else now()

    async def ends(self) -> Mapping[int, int]:
        """Give how far it is durable."""
        return await self._log.ends()

    async def poll(self, after: Mapping[int, int], *, events_max: int, wait_s_max: float) -> Sequence[Message]:
        """Give the next messages."""
        found = await self._log.poll(after, events_max=events_max, wait_s_max=wait_s_max)
        self._at_us = max([self._at_us, *(message.appended_at_us for message in found)])
        return found

    async def backlog(self, after: Mapping[int, int]) -> Backlog:
        """Count what is left."""
        return await self._log.backlog(after)

    async def close(self) -> None:
        """Let go of it."""
        await self._log.close()


class _ClockedChain(_ClockedLog):
    """The same of several logs, one after the other."""

    def __init__(self, chain: LogChain) -> None:
        super().__init__(chain)
        self.origins = chain.origins
        self.open_partitions = chain.open_partitions


def _clocked(log: LogReader) -> _ClockedLog:
    return _ClockedChain(log) if isinstance(log, LogChain) else _ClockedLog(log)


class _NoCustomers:
    """Customers were made when the events were first applied."""

    async def ensure(self, world: World, identifiers: set[str]) -> None:
        """Make none."""


def _say(told: object) -> None:
    print(msgspec.json.encode(told).decode(), flush=True)  # noqa: T201 - the line for the command that waits.


def _leave_when_alone() -> None:
    sys.stdin.buffer.read()
    os._exit(EXIT_FAILED)


def main(text: str) -> int:
    """Do one step; gives the exit code. The first line of the input is the registry's URL."""
    step = msgspec.json.decode(text, type=Step)
    registry_url = sys.stdin.buffer.readline().decode().rstrip("\n")
    step = msgspec.structs.replace(step, config=msgspec.structs.replace(step.config, registry_url=registry_url))
    threading.Thread(target=_leave_when_alone, daemon=True).start()
    try:
        asyncio.run(run(step))
    except (MeteringError, IngestError, OSError) as error:
        _say({"error": str(error)})
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1])
    sys.stdout.flush()
    os._exit(code)  # The thread that watches the input must not hold up the end.
