"""One installation in one run: its processes and what befalls them, its clients, and what is written down about it."""

import asyncio
from dataclasses import dataclass
from random import Random

from ingest.errors import LogCorruptError, LogUnavailableError
from ingest.gateway.core_client import CoreUnavailableError
from ingest.log.spool.state import SpoolState
from ingest.wire import Kind, Section
from metering.errors import UnavailableError
from metering.position import Cutoff, offset_of
from metering.store.versions import Key
from metering.world import Mode, World
from tests.simulation import oracle
from tests.simulation.disk import Disk, ProcessFiles
from tests.simulation.faults import Faults
from tests.simulation.network import Network
from tests.simulation.parts import (
    FOLDER,
    SERVING,
    SPOOL_FOLDER,
    CoreLink,
    CoreProcess,
    GatewayProcess,
    LogProcess,
    Request,
    SpoolProcess,
)
from tests.simulation.registry import SimulatedRegistry, lane_table, moment
from tests.simulation.scheduler import Process, Scheduler
from tests.simulation.sockets import Sockets
from tests.simulation.store import Tables
from tests.simulation.topic import Coordinator, Topic
from tests.simulation.traffic import WORLDS, Sending, Traffic, send_until_taken

REQUEST_WAIT_S_MAX = 40
STANDSTILL_S_MAX = 25

_ACCEPTABLE_DEATHS = (UnavailableError, LogUnavailableError)


@dataclass(frozen=True)
class Acknowledged:
    """A request that was answered 2xx, and the receipts that the answer rests on."""

    sending: Sending
    answer: object
    receipts: list


class Installation:
    """Everything that runs in one run, and what is written down about it."""

    def __init__(self, seed: int) -> None:
        random = Random(seed)
        self.random = random
        self.faults = Faults(random)
        self.scheduler = Scheduler(random, self.faults)
        self.world = Process(self.scheduler, "world")
        self.clients = Process(self.scheduler, "clients")
        self.network = Network(self.scheduler)
        self.tables = Tables(self.scheduler)
        self.registry = SimulatedRegistry(self.scheduler, {world.account_id for world in WORLDS})
        self.segment_bytes = random.choice((600, 4_000, 1 << 30))
        self.poll_bytes_max = random.choice((1, 2_000, 1 << 30))
        self.disk = self.topic = self.coordinator = None
        self.trims = self.has_log_process = False
        self.spool_disk: Disk | None = None
        if random.random() < 0.55:
            self.disk = Disk(random)
            self.trims = random.random() < 0.6
            self.has_log_process = random.random() < 0.5
            self.scheduler.sockets = Sockets()
        else:
            self.topic = Topic(self.scheduler, random.randint(1, 3))
            self.coordinator = Coordinator(self.scheduler, self.topic)
            self.spool_disk = Disk(random) if random.random() < 0.6 else None
        self.traffic = Traffic(random)
        self.gateways: list[GatewayProcess] = []
        self.cores: list[CoreProcess] = []
        self.spools: list[SpoolProcess] = []
        self.logs: list[LogProcess] = []
        self.receipts: list = []
        self.acknowledged: list[Acknowledged] = []
        self.attempts: list[Sending] = []
        self.snapshots: list[tuple[Cutoff, dict]] = []
        self.broken: list[str] = []
        self._wanted = 1 if self.disk else 2
        self._started = 0
        self._lanes: dict[int, int] = {}

    def now_us(self) -> int:
        """Give the virtual time in microseconds since 1970."""
        return int(moment(self.scheduler).timestamp()) * 1_000_000

    def start(self) -> None:
        """Start what a supervisor keeps alive."""
        for _ in range(self._wanted):
            self._begin(GatewayProcess, self.gateways)
            self._begin(CoreProcess, self.cores)
        if self.spool_disk is not None:
            self._begin(SpoolProcess, self.spools)
        if self.has_log_process:
            self._begin(LogProcess, self.logs)
            self._begin(GatewayProcess, self.gateways)

    def _parts(self) -> list:
        return [*self.gateways, *self.cores, *self.spools, *self.logs]

    def spool_state(self, process: Process) -> SpoolState:
        """Give what a process sees of the spool."""
        return SpoolState(SPOOL_FOLDER, ProcessFiles(self.spool_disk, process, self.cut_power))

    def newest_core(self) -> CoreProcess | None:
        """Give the core that was started last, of those that live."""
        return next((core for core in reversed(self.cores) if core.process.alive and core.progress), None)

    def cut_power(self) -> None:
        """End everything on the machine that has the log's disk, or the spool's, and let the disk forget."""
        for part in self._parts():
            part.process.kill("power cut")
        (self.disk or self.spool_disk).lose_power()

    def _begin(self, kind, among: list) -> None:
        self._started += 1
        process = Process(self.scheduler, f"{kind.__name__.removesuffix('Process').lower()}-{self._started}")
        self.scheduler.note(process.name, "starts")
        part = kind(self, process)
        among.append(part)

        def died() -> None:
            among.remove(part)
            self.world.loop.call_later(self.random.uniform(0.05, 2), self._restart, kind, among)

        process.at_death.append(died)
        process.spawn(part.live()).add_done_callback(lambda task: self._ended(part, task))

    def _restart(self, kind, among: list) -> None:
        wanted = {SpoolProcess: 1, LogProcess: 1, GatewayProcess: self._wanted + self.has_log_process}
        if len(among) < wanted.get(kind, self._wanted):
            self._begin(kind, among)

    def _ended(self, part, task) -> None:
        process = part.process
        error = None if task.cancelled() else task.exception()
        if not isinstance(error, _ACCEPTABLE_DEATHS) and not self._was_overtaken(part, error):
            self.broken.append(f"{process.name} ended: {error!r}")
        process.kill(f"ends: {error!r}")

    def _was_overtaken(self, part, error) -> bool:
        """Tell whether a core wanted what another, started beside it, had applied and trimmed."""
        return isinstance(error, LogCorruptError) and part in self.cores and self.trims and part.is_behind()

    async def misfortune(self) -> None:
        """Once a second, let something happen to each process."""
        while True:
            await asyncio.sleep(self.random.uniform(0.5, 1.5))
            for part in self._parts():
                if self.faults.hit("killed"):
                    part.process.kill("killed")
                elif self.faults.hit("stands still"):
                    part.process.pause(self.random.uniform(0.3, STANDSTILL_S_MAX))
            self._spoil_memory()
            core = self.newest_core()
            if self.trims and core and self.faults.hit("log is settled"):
                core.process.spawn(core.settle())
                if self.random.random() < 0.4:
                    appender = self.random.choice(self.logs or self.gateways or [core])
                    self.world.loop.call_later(
                        self.random.uniform(0, 0.6), appender.process.kill, "killed when settled"
                    )
            if (self.disk or self.spool_disk) is not None and self.faults.hit("power cut"):
                self.scheduler.note("world", "power cut")
                self.cut_power()
            if self.coordinator is not None:
                self._disturb_brokers()
            if self.faults.hit("started beside a living one"):
                kinds = [(GatewayProcess, self.gateways), (CoreProcess, self.cores)]
                kinds += [(type(part), among) for among in (self.spools, self.logs) for part in among[:1]]
                self._begin(*self.random.choice(kinds))

    def _disturb_brokers(self) -> None:
        if self.faults.hit("partitions move"):
            self.coordinator.deal()
        if self.faults.hit("brokers away"):
            self.topic.go_away(self.random.uniform(0.5, 8))

    def _spoil_memory(self) -> None:
        for core in self.cores:
            if self.faults.hit("filter of seen keys goes wrong"):
                core.spoil_filter(self.random.choice(self.cores))
            elif self.random.random() < 0.5:
                core.remember_filter()

    async def client(self, count: int) -> None:
        """Send some requests, one after the other."""
        requests = self.traffic.requests()
        for _ in range(count):
            await asyncio.sleep(self.random.expovariate(1.0))
            sending = next(requests)
            answer, receipts = await send_until_taken(sending, self._attempt, self.random)
            self.acknowledged.append(Acknowledged(sending, answer, receipts))

    async def _attempt(self, sending: Sending):
        alive = [part for part in self.gateways if part.process.alive and part.gateway]
        gateway = self.random.choice(alive) if alive else None
        self.attempts.append(sending)
        try:
            answer, receipts = await self.network.call(
                self.clients,
                gateway.process if gateway else None,
                lambda: self._serve(gateway, sending),
                REQUEST_WAIT_S_MAX,
            )
        except (ConnectionError, TimeoutError, LogUnavailableError):
            return None
        if sending.section is not None:
            return answer, receipts
        if answer.status == 503:
            return None
        if answer.status not in {200, 201, 202}:
            self.broken.append(f"{sending.path} was answered {answer.status}: {answer.body!r} to {sending.body!r}")
        return answer, receipts

    @staticmethod
    async def _serve(gateway: GatewayProcess, sending: Sending):
        receipts: list = []
        SERVING.set(receipts)
        if sending.section is not None:
            return await gateway.log.append(sending.section), receipts
        request = Request(sending.method, sending.path, sending.world, sending.body)
        return await gateway.gateway.answer(request), receipts

    async def observer(self) -> None:
        """Read figures now and then; and see to it that what the core says of its progress is true."""
        link = CoreLink(self, self.clients)
        while True:
            await asyncio.sleep(self.random.expovariate(0.7))
            cutoff = self.tables.applied()
            self.snapshots.append((cutoff, self.figures(cutoff)))
            accepted = len(self.receipts)
            try:
                if self.random.random() < 0.5:
                    await link.wait_applied()
                elif (await link.ask(lambda progress: progress.lag())).lag_events:
                    continue
            except CoreUnavailableError:
                continue
            bounds, lanes = self.tables.applied().bounds, self.lanes()
            for section, receipt in self.receipts[:accepted]:
                for partition, (offset, _) in receipt.offsets.items():
                    lane = lanes.get(partition)
                    if lane is None or offset > offset_of(bounds.get(lane, 0)) or lane not in bounds:
                        self.broken.append(f"said to be applied, and is not: {partition}/{offset} {section.body!r}")
            spooled = [section for section, receipt in self.receipts[:accepted] if not receipt.offsets]
            self._look_for_spooled([section for section in spooled if section.kind is Kind.EVENTS])

    def _look_for_spooled(self, sections: list[Section]) -> None:
        """See to it that what was spooled lies in what is applied of the log."""
        if not sections:
            return
        lanes, bounds = self.lanes(), self.tables.applied().bounds
        there = {
            (part.world, told)
            for partition, payloads in enumerate(self.payloads())
            if lanes.get(partition) in bounds
            for part in oracle.parts_of(partition, payloads[: offset_of(bounds[lanes[partition]]) + 1])
            if not part.is_deletion
            for told in oracle.told_of(part.body) or ()
        }
        for section in sections:
            if not {(section.world, told) for told in oracle.told_of(section.body) or ()} <= there:
                self.broken.append(f"said to be applied, and is not: spooled {section.body!r}")

    def lanes(self) -> dict[int, int]:
        """Give the lane of each partition of the log."""
        if len(self._lanes) < len(self.payloads()):
            self._lanes = {partition: lane for (_, partition), lane in lane_table().items()}
        return self._lanes

    def figures(self, cutoff: Cutoff) -> dict:
        """Give what readers see at a cut-off, by position."""
        try:
            found = self.tables.facts.figures(cutoff)
        except AssertionError as error:
            self.broken.append(f"at {cutoff.encode()}: {error}")
            return {}
        return {version.position: stored_of(key, version) for key, version in found.items()}

    def payloads(self) -> list[list[bytes]]:
        """Give the final log, partition by partition."""
        if self.topic is not None:
            return [[message.payload for message in messages] for messages in self.topic.partitions]
        files = self.disk.trimmed | {path: self.disk.file(path) for path in self.disk.paths(FOLDER)}
        segments = sorted(path for path in files if path.suffix == ".segment")
        return [oracle.read_frames([bytes(files[path].seen) for path in segments])]

    def all_applied(self) -> bool:
        """Tell whether the spool is empty and every message of the log is in the figures."""
        if self.spool_disk is not None and not any(each.keeper and not each.keeper.events for each in self.spools):
            return False
        lanes, bounds = self.lanes(), self.tables.applied().bounds
        for partition, messages in enumerate(self.payloads()):
            lane = lanes.get(partition)
            if messages and (lane is None or lane not in bounds or offset_of(bounds[lane]) < len(messages) - 1):
                return False
        return True


def stored_of(key: Key, version) -> tuple:
    """Give what must be true of a stored version."""
    return (
        World(key.account_id, Mode(key.mode)),
        key.event_type,
        key.record_id,
        version.record_id_is_number,
        version.customer_id,
        version.timestamp_us,
        version.properties,
    )
