"""The supervisor keeps parts alive, and leaves none behind."""

import asyncio

import pytest

from deploy import supervisor
from deploy.parts import PartConfig
from deploy.supervisor import Supervisor

CONFIG = PartConfig(kind="log", data_dir="", run_dir="", store_url="", registry_url="")


class Process:
    """A part that ends when it is told to, or by itself."""

    def __init__(self):
        self.returncode = None
        self._ended = asyncio.Event()

    async def wait(self):
        await self._ended.wait()
        return self.returncode

    def send_signal(self, number):
        self.end(-number)

    def end(self, code):
        self.returncode = code
        self._ended.set()


@pytest.fixture
def processes(monkeypatch):
    """What was started, in order; `refusals` are raised first, and `gate` holds starts up."""

    class Started(list):
        def __init__(self):
            self.refusals = []
            self.gate = asyncio.Event()
            self.gate.set()
            self.begun = 0

    started = Started()

    async def start(*_args, **_options):
        started.begun += 1
        await started.gate.wait()
        if started.refusals:
            raise started.refusals.pop()
        started.append(Process())
        return started[-1]

    monkeypatch.setattr(supervisor.asyncio, "create_subprocess_exec", start)
    monkeypatch.setattr(supervisor, "RESTART_PAUSE_S_MIN", 0.001)
    return started


async def until(true):
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.001)


async def test_a_part_that_cannot_be_started_now_is_started_later(processes):
    """A machine that is short of memory for a moment must not cost a part for good."""
    said = []
    keeping = Supervisor(said.append)
    await keeping.start("log", CONFIG)
    processes.refusals = [BlockingIOError(11, "Resource temporarily unavailable")] * 2
    processes[0].end(-9)
    await until(lambda: len(processes) == 2)
    assert any("Resource temporarily unavailable" in line for line in said)
    await keeping.stop()
    assert processes[1].returncode is not None


async def test_a_part_that_is_just_being_started_again_is_stopped_too(processes):
    """Else it would go on after everything else has stopped in order."""
    keeping = Supervisor(lambda _: None)
    await keeping.start("log", CONFIG)
    processes.gate.clear()
    processes[0].end(-9)
    await until(lambda: processes.begun == 2)
    stopping = asyncio.create_task(keeping.stop())
    await asyncio.sleep(0.01)
    processes.gate.set()
    await stopping
    assert [process.returncode for process in processes] == [-9, -15]
