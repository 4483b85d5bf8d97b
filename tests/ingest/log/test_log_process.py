import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ingest.errors import LogUnavailableError
from ingest.log.client import RemoteLogWriter
from ingest.log.local.reader import LocalLogReader
from ingest.wire import Kind, Section, decode
from metering.world import Mode, World

RUN = """
import sys
from pathlib import Path
from ingest.log.process import run
run(Path(sys.argv[1]), Path(sys.argv[2]))
"""
RUN_ROLLING = RUN.replace("argv[2])", "argv[2]), segment_bytes=300_000")
RUN_FULL = """
import resource, sys
from pathlib import Path
from ingest.log.process import run
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
run(Path(sys.argv[1]), Path(sys.argv[2]))
"""
KILLS = 25


@pytest.fixture
def paths():
    with tempfile.TemporaryDirectory(prefix="log-") as folder:  # Sockets need a short path.
        yield Path(folder) / "log", Path(folder) / "s"


@contextlib.contextmanager
def a_process(paths, code=RUN):
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, paths)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def a_section(number, *, size=20):
    return Section(World("acc_1", Mode.TEST), Kind.EVENTS, 1, 2, json.dumps([number, "x" * size]).encode())


async def numbers(folder):
    """The numbers of all sections, in the order of the log, by (offset, index)."""
    reader = await LocalLogReader.open(folder)
    found, at = {}, 0
    while messages := await reader.poll({0: at}, events_max=100_000, wait_s_max=0):
        for message in messages:
            index = 0
            for section in decode(message.payload):
                found[message.offset, index] = json.loads(section.body)[0]
                index += section.events
        at = messages[-1].offset + 1
    await reader.close()
    return found


async def test_sigterm_ends_it_well_and_keeps_what_was_answered(paths):
    """Appends are either answered and there, or told that their outcome is unknown; it prints nothing."""
    with a_process(paths) as process:
        remote = await RemoteLogWriter.open(paths[1], connect_wait_s_max=10)
        await remote.append(a_section(-1))
        appends = [asyncio.create_task(remote.append(a_section(number))) for number in range(2000)]
        await asyncio.sleep(0)
        process.send_signal(signal.SIGTERM)
        outcomes = await asyncio.gather(*appends, return_exceptions=True)
        assert await asyncio.to_thread(process.communicate) == ("", "")
        assert process.returncode == 0
        found = await numbers(paths[0])
        for number, outcome in enumerate(outcomes):
            if not isinstance(outcome, LogUnavailableError):
                assert found[outcome.offsets[0]] == number
        await remote.close()


async def test_a_full_disk_ends_it_with_an_error(paths):
    """The supervisor sees a process that failed, not one that goes on."""
    with a_process(paths, RUN_FULL) as process:
        remote = await RemoteLogWriter.open(paths[1], connect_wait_s_max=10)
        answered = 0
        while True:
            try:
                await remote.append(a_section(answered, size=2000))
            except LogUnavailableError:
                break
            answered += 1
        await remote.close()
        _, said = await asyncio.to_thread(process.communicate)
        assert process.returncode == 1
        assert "LogUnavailableError" in said
        assert list((await numbers(paths[0])).values()) == list(range(answered))


@pytest.mark.slow
async def test_kill_9_at_any_instant_loses_nothing_and_doubles_nothing(paths):
    """Every answered append is there exactly once, where its receipt says, in its caller's order."""
    chance = random.Random(11)
    next_number = 0
    receipts = {}
    callers_numbers = []
    remotes = [await RemoteLogWriter.open(paths[1], connect_wait_s_max=20) for _ in range(2)]
    stop = False

    async def append_for_ever(remote):
        nonlocal next_number
        own = []
        callers_numbers.append(own)
        while not stop:
            number = next_number
            next_number += 1
            size = chance.choice((10, 10, 10, 500, 50_000))
            with contextlib.suppress(LogUnavailableError):
                receipts[number] = (await remote.append(a_section(number, size=size))).offsets[0]
                own.append(number)

    async with asyncio.TaskGroup() as callers:
        for remote in remotes:
            for _ in range(20):
                callers.create_task(append_for_ever(remote))
        for _ in range(KILLS):
            with a_process(paths, RUN_ROLLING) as process:
                before = len(receipts)
                while len(receipts) == before:
                    await asyncio.sleep(0.001)
                await asyncio.sleep(chance.uniform(0, 0.12))
                os.kill(process.pid, signal.SIGKILL)
                await asyncio.to_thread(process.wait)
        with a_process(paths, RUN_ROLLING) as process:
            while len(receipts) < 1000 or len(list(paths[0].glob("*.segment"))) < 4:
                await asyncio.sleep(0.01)
            stop = True
            await asyncio.gather(*(remote.close() for remote in remotes))
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait)

    found = await numbers(paths[0])
    assert len(set(found.values())) == len(found)
    assert {receipts[number]: number for number in receipts}.items() <= found.items()
    for own in callers_numbers:
        places = [receipts[number] for number in own]
        assert places == sorted(places)
    assert len(list(paths[0].glob("*.segment"))) >= 4
