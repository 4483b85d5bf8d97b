"""What is received later comes to lie later in the log, through outages, crashes and forwarding that repeats itself."""

import asyncio
import itertools
import random
import tempfile
from pathlib import Path

import pytest

from ingest.errors import LogUnavailableError
from ingest.log.memory import MemoryLog, MemoryLogWriter
from ingest.log.spool import keeper as keeper_module
from ingest.log.spool.keeper import SpoolKeeper
from ingest.log.spool.state import SpoolState
from ingest.log.spool.writer import SpoolingLogWriter
from ingest.wire import Kind, Section, decode, encode
from metering.world import Mode, World

WORLD = World("acc_1", Mode.TEST)
BYTES_MAX = 1 << 20


class Weather:
    down = False


class FaultyLog:
    """A writer to a log that, while it is down, takes nothing, or takes what is sent and says that it did not.

    It keeps the order of what is appended through it, as every log does."""

    def __init__(self, log, chance, weather):
        self.writer = MemoryLogWriter(log)
        self.chance = chance
        self.weather = weather
        self.lock = asyncio.Lock()

    async def append(self, section):
        async with self.lock:
            await asyncio.sleep(self.chance.choice((0, 0, 0.001)))
            if self.weather.down and self.chance.random() < 0.7:
                raise LogUnavailableError("down")
            receipt = await self.writer.append(section)
            if self.weather.down:
                raise LogUnavailableError("the answer was lost")
            return receipt

    async def close(self):
        await self.writer.close()


class Keeping:
    """The spool process, which may be killed at any await and started again; callers see what a socket would tell."""

    def __init__(self, folder, log):
        self.folder = folder
        self.log = log
        self.keeper = None

    async def start(self):
        self.keeper = await SpoolKeeper.open(self.folder, BYTES_MAX)
        self.forwarding = asyncio.create_task(self.keeper.forward(self.log))

    async def kill(self):
        keeper, self.keeper = self.keeper, None
        self.forwarding.cancel()
        await asyncio.wait({self.forwarding})
        await keeper.close()

    async def append(self, section):
        keeper = self.keeper
        if keeper is None:
            raise LogUnavailableError("nobody listens")
        receipt = await keeper.put(encode((section,)), section.events)
        if self.keeper is not keeper:
            raise LogUnavailableError("the connection was lost")
        return receipt

    async def close(self):
        pass


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """Outages here last milliseconds."""
    monkeypatch.setattr(keeper_module, "PAUSE_S_MIN", 0.01)
    monkeypatch.setattr(keeper_module, "PAUSE_S_MAX", 0.02)


async def story(seed, folder, writer_of=SpoolingLogWriter):
    """Six callers through three gateways while the log goes down and up and the spool's process is killed.

    Gives the log's sections in order, and of each acknowledged one when it was sent and when acknowledged.
    """
    chance = random.Random(seed)
    log = MemoryLog()
    weather = Weather()
    keeping = Keeping(folder, FaultyLog(log, chance, weather))
    await keeping.start()
    gateways = [writer_of(FaultyLog(log, chance, weather), keeping, SpoolState(folder)) for _ in range(3)]
    clock = itertools.count()
    acknowledged, stop = {}, asyncio.Event()

    async def keep_sending(caller):
        for number in itertools.count():
            name = b"%d-%d" % (caller, number)
            sent_at = next(clock)
            try:
                await chance.choice(gateways).append(Section(WORLD, Kind.EVENTS, 0, 1, name))
                acknowledged[name] = (sent_at, next(clock))
            except LogUnavailableError:
                pass
            if stop.is_set():
                return
            await asyncio.sleep(chance.choice((0, 0, 0.001, 0.003)))

    callers = [asyncio.create_task(keep_sending(caller)) for caller in range(6)]
    for _ in range(chance.randrange(2, 6)):
        await asyncio.sleep(chance.uniform(0, 0.05))
        weather.down = not weather.down
        if chance.random() < 0.5:
            await asyncio.sleep(chance.uniform(0, 0.03))
            await keeping.kill()
            await asyncio.sleep(chance.uniform(0, 0.01))
            await keeping.start()
    weather.down = False
    await asyncio.sleep(chance.uniform(0, 0.1))
    stop.set()
    await asyncio.gather(*callers)
    while SpoolState(folder).holds:
        await asyncio.sleep(0.01)
    await keeping.kill()
    order = [section.body for message in log.messages(0, 1 << 40) for section in decode(message.payload)]
    return order, acknowledged


def overtaken(order, acknowledged):
    """Pairs of which the first was acknowledged before the second was sent, and yet comes last in the log."""
    last = {name: place for place, name in enumerate(order)}
    assert acknowledged.keys() <= last.keys(), "acknowledged and not in the log"
    by_sent = sorted(acknowledged, key=lambda name: acknowledged[name][0])
    found, latest = [], None
    by_acknowledged = sorted(acknowledged, key=lambda name: acknowledged[name][1])
    at = 0
    for name in by_sent:
        while acknowledged[by_acknowledged[at]][1] < acknowledged[name][0]:
            earlier = by_acknowledged[at]
            latest = earlier if latest is None or last[earlier] > last[latest] else latest
            at += 1
        if latest is not None and last[latest] > last[name]:
            found.append((latest, name))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("block", range(4))
async def test_nothing_is_lost_and_nothing_received_earlier_comes_to_lie_last(block):
    """In every story each acknowledged section is in the log, and its last copy lies behind those of all that had been
    acknowledged when it was sent: of equal timestamps the last received wins."""
    repeated = 0
    for seed in range(10 * block, 10 * block + 10):
        with tempfile.TemporaryDirectory() as folder:
            order, acknowledged = await story(seed, Path(folder) / "spool")
        assert overtaken(order, acknowledged) == [], seed
        repeated += len(order) - len(set(order))
    assert repeated, "no story in which forwarding repeats itself proves nothing"


class Overtaking(SpoolingLogWriter):
    """What the rule forbids: try the log first, whatever waits in the spool."""

    async def append(self, section):
        try:
            return await self._log.append(section)
        except LogUnavailableError:
            return await self._spool.append(section)


@pytest.mark.slow
async def test_the_check_notices_a_gateway_that_overtakes_the_spool():
    """The same stories without the rule: some of them end in the wrong order."""
    wrong = 0
    for seed in range(10):
        with tempfile.TemporaryDirectory() as folder:
            wrong += len(overtaken(*await story(seed, Path(folder) / "spool", Overtaking)))
    assert wrong
