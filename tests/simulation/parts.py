"""The processes of the product, made of the real classes: gateways that take requests, cores that apply the log."""

import asyncio
import copy
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace

from aiohttp import HttpVersion11
from multidict import CIMultiDict

from deploy.adapters import RegistryCustomers, RegistryLanes
from ingest.consumer.consumer import Consumer
from ingest.consumer.progress import LogProgress
from ingest.consumer.seen import SeenKeys
from ingest.consumer.sharing import run_shared
from ingest.core_api import Place
from ingest.errors import LogCorruptError, LogUnavailableError
from ingest.gateway.core_client import CoreUnavailableError
from ingest.gateway.gateway import Gateway, Neighbours
from ingest.log.archive.keeper import Keep, LogKeeper
from ingest.log.client import RemoteLogWriter
from ingest.log.local.reader import LocalLogReader
from ingest.log.local.writer import LocalLogWriter
from ingest.log.protocol import Receipt
from ingest.log.server import LogServer
from ingest.log.spool.keeper import SpoolKeeper
from ingest.log.spool.writer import SpoolingLogWriter
from ingest.wire import Section, encode
from metering.errors import UnavailableError
from metering.http.route import Principal
from metering.http.scope import Scope
from metering.position import offset_of
from metering.world import Mode, World
from tests.ingest.consumer.wrong_filters import WRONG
from tests.simulation.disk import ProcessFiles
from tests.simulation.registry import moment
from tests.simulation.scheduler import Process
from tests.simulation.store import StoreClient
from tests.simulation.topic import TopicReader, TopicWriter

FOLDER = Path("/simulated/log")
SOCKET = Path("/simulated/log.sock")
SPOOL_FOLDER = Path("/simulated/spool")
SPOOL_BYTES_MAX = 20_000
SPOOL_WAIT_S_MAX = 5.0
APPLIED_WAIT_S_MAX = 10.0
TRIM_WAIT_S_MAX = 5.0

SERVING: ContextVar[list] = ContextVar("SERVING")
"""The receipts that the request being served has got."""


class Request:
    """A request, as far as the gateway looks at it; all of its body has come."""

    version = HttpVersion11
    keep_alive = True
    protocol = SimpleNamespace(writing_paused=False)

    def __init__(self, method: str, path: str, world: World, body: bytes) -> None:
        self.method = method
        self.raw_path = path
        self.headers = CIMultiDict({"Authorization": f"{world.account_id}/{world.mode}"})
        self.content = SimpleNamespace(is_eof=lambda: True, read_nowait=lambda _: body)


class _Keys:
    """Every key is good, and names its world."""

    async def authenticate(self, authorization):
        account, _, mode = authorization.partition("/")
        return Principal("key", World(account, Mode(mode)), frozenset(Scope))


class _Witnessed:
    """A log's writer, whose receipts are written down for the oracle."""

    def __init__(self, log, receipts: list) -> None:
        self._log = log
        self._receipts = receipts

    async def append(self, section: Section) -> Receipt:
        receipt = await self._log.append(section)
        self._receipts.append((section, receipt))
        SERVING.get().append((section, receipt))
        return receipt


class CoreLink:
    """`ingest.gateway.core_client.Core`, over the network."""

    def __init__(self, installation, process: Process) -> None:
        self._installation = installation
        self._process = process

    async def wait_applied(self) -> None:
        if not await self.ask(lambda progress: progress.wait_until_applied(APPLIED_WAIT_S_MAX)):
            raise CoreUnavailableError("not applied in time")

    async def retracted(self, world: World, receipt: Receipt) -> int:
        total = 0
        for partition, (offset, index) in sorted(receipt.offsets.items()):
            place = Place(partition, offset, index)
            count = await self.ask(lambda progress, at=place: progress.retracted(world, at, APPLIED_WAIT_S_MAX))
            if count is None:
                raise CoreUnavailableError("not applied in time")
            total += count
        return total

    async def ask(self, question):
        """Ask whichever core was started last."""
        core = self._installation.newest_core()
        try:
            return await self._installation.network.call(
                self._process,
                core.process if core else None,
                lambda: question(core.progress),
                APPLIED_WAIT_S_MAX + 5,
            )
        except (ConnectionError, TimeoutError, UnavailableError) as error:
            raise CoreUnavailableError(str(error)) from None


class TrimLink:
    """`ingest.log.archive.keeper.Trimmer`, over the network: whoever appends."""

    def __init__(self, installation, process: Process) -> None:
        self._installation = installation
        self._process = process

    async def trim(self, before_offset: int) -> int:
        return await self._ask(lambda writer: writer.trim(before_offset))

    async def seal(self) -> int:
        return await self._ask(lambda writer: writer.seal())

    async def _ask(self, work) -> int:
        gateway = next((each for each in self._installation.gateways if each.process.alive and each.writer), None)
        try:
            return await self._installation.network.call(
                self._process, gateway.process if gateway else None, lambda: work(gateway.writer), TRIM_WAIT_S_MAX
            )
        except (ConnectionError, TimeoutError) as error:
            raise LogUnavailableError(str(error)) from None


class LogProcess:
    """Who holds the local log where there are several gateways."""

    def __init__(self, installation, process: Process) -> None:
        self.process = process
        self._installation = installation

    async def live(self) -> None:
        """Serve until the log's disk fails."""
        writer = await _open_log(self._installation, self.process)
        await LogServer.open(writer, SOCKET)
        await writer.failed
        raise LogUnavailableError("the disk failed")


async def _open_log(installation, process: Process) -> LocalLogWriter:
    files = ProcessFiles(installation.disk, process, installation.cut_power)
    return await LocalLogWriter.open(
        FOLDER, segment_bytes=installation.segment_bytes, now_us=installation.now_us, files=files
    )


class SpoolLink:
    """A `LogWriter` to the process that holds the spool, over the network."""

    def __init__(self, installation, process: Process) -> None:
        self._installation = installation
        self._process = process

    async def append(self, section: Section) -> Receipt:
        spool = next((each for each in self._installation.spools if each.process.alive and each.keeper), None)

        async def put():
            return await spool.keeper.put(encode((section,)), section.events)

        try:
            return await self._installation.network.call(
                self._process, spool.process if spool else None, put, SPOOL_WAIT_S_MAX
            )
        except (ConnectionError, TimeoutError) as error:
            raise LogUnavailableError(str(error)) from None

    async def close(self) -> None:
        """Do nothing: nothing is held."""


class SpoolProcess:
    """Who holds what the log did not take, and brings it there."""

    def __init__(self, installation, process: Process) -> None:
        self.process = process
        self.keeper: SpoolKeeper | None = None
        self._installation = installation

    async def live(self) -> None:
        """Forward until the disk fails."""
        installation, process = self._installation, self.process
        files = ProcessFiles(installation.spool_disk, process, installation.cut_power)
        self.keeper = await SpoolKeeper.open(
            SPOOL_FOLDER, SPOOL_BYTES_MAX, now_us=installation.now_us, look_interval_s=0.2, files=files
        )
        log = TopicWriter(installation.topic, process)
        forwarding = process.spawn(self.keeper.forward(log))
        await asyncio.wait({self.keeper.failed, forwarding}, return_when=asyncio.FIRST_COMPLETED)
        if forwarding.done() and not isinstance(forwarding.exception(), OSError):
            raise forwarding.exception()
        raise LogUnavailableError("the disk failed")


class GatewayProcess:
    """A gateway worker, which holds the local log when there is one."""

    def __init__(self, installation, process: Process) -> None:
        self.process = process
        self.gateway: Gateway | None = None
        self.log = None
        self.writer: LocalLogWriter | None = None
        self._installation = installation

    async def live(self) -> None:
        """Serve until the log's disk fails."""
        installation, process = self._installation, self.process
        if installation.topic is not None:
            log = TopicWriter(installation.topic, process)
            if installation.spool_disk is not None:
                log = SpoolingLogWriter(log, SpoolLink(installation, process), installation.spool_state(process))
            failed = process.loop.create_future()
        elif installation.has_log_process:
            log = await RemoteLogWriter.open(SOCKET, answer_wait_s_max=10)
            failed = process.loop.create_future()
        else:
            log = await _open_log(installation, process)
            failed = log.failed
            self.writer = log
        self.log = _Witnessed(log, installation.receipts)
        registry = RegistryCustomers(installation.registry)
        core = CoreLink(installation, process)
        self.gateway = Gateway(
            Neighbours(_Keys(), self.log, core, registry, _nobody),
            now_ns=lambda: installation.now_us() * 1000,
        )
        await failed
        raise LogUnavailableError("the disk failed")


async def _nobody(request):
    raise AssertionError(f"{request.method} {request.raw_path} is the gateway's own")


class CoreProcess:
    """A core: it applies the log, or its share of the partitions, and says how far it is."""

    def __init__(self, installation, process: Process) -> None:
        self.process = process
        self.progress: LogProgress | None = None
        self._installation = installation
        self._consumer: Consumer | None = None
        self._older = SeenKeys()
        self._keeper: LogKeeper | None = None

    def is_behind(self) -> bool:
        """Tell whether others have applied what this core is about to read."""
        applied = self._installation.tables.applied().bounds
        wanted = self._consumer._by_lane(self._consumer._next_offsets) if self._consumer else {}
        return bool(wanted) and all(
            lane in applied and offset <= offset_of(applied[lane]) for lane, offset in wanted.items()
        )

    async def settle(self) -> None:
        """Move all that is applied out of the log, as before it is rewritten."""
        if self._keeper is not None:
            with suppress(LogUnavailableError, LogCorruptError, OSError):
                await self._keeper.settle()

    def remember_filter(self) -> None:
        """Keep a copy of the filter of seen keys as it is now."""
        if self._consumer is not None and self._consumer._look_up._seen is not None:
            self._older = copy.deepcopy(self._consumer._look_up._seen)

    def spoil_filter(self, other: "CoreProcess") -> None:
        """Put something else in place of the filter of seen keys, made of an older one of its own or of another's."""
        if self._consumer is not None and self._consumer._look_up._seen is not None:
            wrong = self._installation.random.choice(WRONG)
            self.process.scheduler.note(self.process.name, f"its filter of seen keys becomes {wrong.__name__}")
            wrong(self._consumer._look_up, self._older, other._older)

    async def live(self) -> None:
        """Consume until something stands in the way that waiting does not mend."""
        installation, process = self._installation, self.process
        if installation.topic is not None:
            log = TopicReader(installation.topic, process)
        else:
            files = ProcessFiles(installation.disk, process, installation.cut_power)
            log = await LocalLogReader.open(
                FOLDER, wait_s_max=2, look_interval_s=0.2, poll_bytes_max=installation.poll_bytes_max, files=files
            )
        store = StoreClient(installation.tables, process)
        lanes, customers = RegistryLanes(installation.registry), RegistryCustomers(installation.registry)

        def clock():
            return moment(process.scheduler)

        if installation.trims:
            margin_s = installation.random.choice((0.0, 0.5, 5.0))
            if installation.has_log_process:
                trimmer = await RemoteLogWriter.open(SOCKET, answer_wait_s_max=10)
            else:
                trimmer = TrimLink(installation, process)
            self._keeper = LogKeeper(FOLDER, FOLDER, Keep.NONE, trimmer, margin_s=margin_s, files=files)
            process.spawn(self._keeper.run())
        hint = self._keeper.applied_hint if self._keeper else None

        def consumer(only=None):
            self._consumer = Consumer(log, store, lanes, customers, store, clock=clock, only=only, applied_hint=hint)
            return self._consumer

        spool = installation.spool_state(process) if installation.spool_disk is not None else None
        self.progress = LogProgress(log, store, lanes, clock, spool)
        if installation.topic is not None:
            await run_shared(installation.coordinator.join(process), consumer)
        else:
            alone = consumer()
            await alone.start()
            await asyncio.sleep(0)
            await alone.run()
