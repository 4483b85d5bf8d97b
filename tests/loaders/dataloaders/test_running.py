"""Rows come into the log, all of them, and the cursor is saved after them; whatever goes wrong on the way."""

import asyncio
import threading
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from ingest.errors import LogUnavailableError
from ingest.log.memory import MemoryLog, MemoryLogWriter
from ingest.wire import decode
from loaders.dataloaders import runs
from loaders.dataloaders.model import RunStatus, Trigger
from loaders.dataloaders.registry import create_dataloader, delete_dataloader, find_dataloader, update_dataloader
from loaders.dataloaders.runs import begin_due, begin_run, claim, list_runs
from loaders.errors import QueryError, SourceDeniedError, SourceUnavailableError
from loaders.running import runner, work
from loaders.running.limits import RunLimits
from loaders.running.reading import BEGINNING
from loaders.running.runner import LoaderRunner
from loaders.running.work import Means
from loaders.source import Column, Kind
from metering.http.json import loads
from metering.registry.customers import resolve
from metering.registry.engine import Registry
from metering.registry.outbox import list_messages
from tests.loaders.listed_source import COLUMNS, NOON, ListedSource, a_row

WAIT_S_MAX = 120


class FaultyLog(MemoryLogWriter):
    """Fails as often as it is told to, having written or not."""

    failures = 0

    async def append(self, section):
        if self.failures:
            self.failures -= 1
            await super().append(section)
            raise LogUnavailableError("the outcome is unknown")
        return await super().append(section)


@pytest.fixture
def log():
    return MemoryLog()


@pytest.fixture
def writer(log):
    return FaultyLog(log)


@pytest.fixture
def means(registry, writer, sources, clock, tmp_path, monkeypatch):  # noqa: PLR0917
    monkeypatch.setattr(runner, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(work, "RECORD_EVERY_S", 0.05)
    monkeypatch.setattr(work, "HOLD_EVERY_S", 0.05)
    limits = RunLimits(attempts=3, pause_s_min=0.01, pause_s_max=0.02)
    return Means(registry, writer, sources, sources.open, clock, tmp_path, limits)


@pytest.fixture
def loader(registry, account, connection_id, clock):
    with registry.writing() as connection:
        fields = {"connection_id": connection_id, "event_type": "call", "query": "q", "refresh_interval": "1h"}
        return create_dataloader(connection, account, {**fields, "cursor_column": "id", "cursor_start": 0}, clock())


@asynccontextmanager
async def going_on(means):
    task = asyncio.create_task(LoaderRunner(means).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition):
    async with asyncio.timeout(WAIT_S_MAX):
        while not (found := condition()):
            await asyncio.sleep(0.01)
    return found


def newest(registry, loader):
    with registry.reading() as connection:
        return next(iter(list_runs(connection, loader.world, loader.id, take=1, skip=0)[0]), None)


def ended(registry, loader):
    run = newest(registry, loader)
    return run if run is not None and run.ended_at is not None else None


async def run_once(means, loader):
    async with going_on(means):
        return await until(lambda: ended(means.registry, loader))


def events(log):
    """Everything that was appended, in order."""
    messages = log.messages(0, 10**9)
    return [event for one in messages for section in decode(one.payload) for event in loads(section.body)]


def saved(registry, loader):
    with registry.reading() as connection:
        return find_dataloader(connection, loader.world, loader.id)


async def test_all_rows_come_into_the_log_and_then_the_cursor(means, loader, sources, log):
    sources.source.rows = [a_row(number) for number in range(1, 12_001)]
    run = await run_once(means, loader)
    assert (run.status, run.trigger, run.attempts) == (RunStatus.DONE, Trigger.SCHEDULED, 1)
    assert (run.counts.rows_read, run.counts.rows_accepted, run.cursor.value) == (12_000, 12_000, 12_000)
    assert [event["record"]["id"] for event in events(log)] == [*range(1, 12_001)]
    after = saved(means.registry, loader)
    assert (after.cursor.value, after.last_run_at) == (12_000, NOON)
    await until(lambda: sources.source.closed)


async def test_the_next_run_reads_on_and_one_from_the_start_reads_all(means, loader, sources, clock):
    """By what is bound, which is all that the query knows of it."""
    await run_once(means, loader)
    for from_start in (False, True):
        clock.passes(minutes=1)
        with means.registry.writing() as connection:
            again = saved(means.registry, loader)
            run = begin_run(connection, again, Trigger.MANUAL, clock(), from_start=from_start)
        async with going_on(means):
            await until(lambda run=run: (one := ended(means.registry, loader)) is not None and one.id == run.id)
    first, second, third = sources.source.asked
    assert first == third == {"last_run_at": BEGINNING, "cursor": 0}
    assert second == {"last_run_at": NOON, "cursor": 7}


async def test_without_new_rows_the_cursor_stays(means, loader, sources, clock):
    await run_once(means, loader)
    sources.source.rows = []
    clock.passes(hours=1)
    async with going_on(means):
        await until(lambda: len(sources.source.asked) == 2 and ended(means.registry, loader))
    assert (saved(means.registry, loader).cursor.value, newest(means.registry, loader).cursor.value) == (7, 7)


async def test_faulty_rows_are_told_and_the_rest_is_loaded(means, loader, sources, log):
    sources.source.rows = [a_row(1), (*a_row(2)[:3], "1e99"), a_row(3, "acme"), a_row(3, "bee")]
    run = await run_once(means, loader)
    assert (run.status, run.counts.rows_accepted, run.counts.rows_rejected) == (RunStatus.PARTIAL, 2, 2)
    assert [(one["row"], one["id"], one["column"]) for one in run.counts.rejected] == [
        (2, "2", "amount"),
        (4, "3", "id"),
    ]
    assert (len(events(log)), saved(means.registry, loader).cursor.value) == (2, 3)


async def test_a_log_that_is_away_is_waited_for(means, loader, writer, log):
    """What may have been written is written again: equal versions are one."""
    writer.failures = 2
    assert (await run_once(means, loader)).status is RunStatus.DONE
    assert {event["record"]["id"] for event in events(log)} == {*range(1, 8)}


async def test_a_source_that_is_cut_off_is_read_again_from_its_beginning(means, loader, sources, log):
    cut = iter([True, False])

    def before(page):
        if page == 1 and next(cut):
            raise SourceUnavailableError("the connection was lost")

    sources.source.before = before
    sources.source.rows = [a_row(number) for number in range(1, 8001)]
    run = await run_once(means, loader)
    assert (run.status, run.counts.rows_read, len(sources.source.asked)) == (RunStatus.DONE, 8000, 2)
    assert [event["record"]["id"] for event in events(log)] == [*range(1, 5001), *range(1, 8001)]


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (SourceUnavailableError("nobody listens"), 3),
        (SourceDeniedError("wrong password"), 1),
        (QueryError("no such table"), 1),
    ],
)
async def test_a_failure_is_the_runs_end_and_told(means, loader, sources, error, asked):
    """A source that is away is asked some times more; one that refuses is not."""

    def before(_):
        raise error

    sources.source.before = before
    run = await run_once(means, loader)
    assert (run.status, run.message, len(sources.source.asked)) == (RunStatus.ERROR, str(error), asked)
    with means.registry.reading() as connection:
        (message,), _ = list_messages(connection, loader.world, conditions=(), take=9, skip=0)
    assert (message.fact.event_type, message.fact.data["message"]) == ("dataloader.failed", str(error))
    assert saved(means.registry, loader).cursor is None


async def test_a_cursor_column_that_is_not_there_is_told(means, loader, sources):
    sources.source.rows, sources.source.columns = (
        [("x", *a_row(1)[1:])],
        (Column("seq", "int", Kind.NUMBER), *COLUMNS[1:]),
    )
    assert '"id" is missing' in (await run_once(means, loader)).message
    sources.source.columns, sources.source.rows = COLUMNS, [a_row(1)]
    with means.registry.writing() as connection:
        changed = update_dataloader(connection, saved(means.registry, loader), {"cursor_column": "seq"}, means.clock())
        begin_run(connection, changed, Trigger.MANUAL, means.clock())
    async with going_on(means):
        run = await until(lambda: (one := ended(means.registry, loader)) and one.trigger is Trigger.MANUAL and one)
    assert 'returns no column "seq"' in run.message


async def test_a_query_that_gives_more_rows_than_may_be_is_ended(means, loader, sources):
    """By what is kept of a run in memory, and by what one run may put into the log."""
    sources.source.rows = [a_row(1)] * 6000
    run = await run_once(replace(means, limits=replace(means.limits, rows_max=5500)), loader)
    assert (run.status, run.counts.rows_read) == (RunStatus.ERROR, 5000)
    assert "more than 5500 rows" in run.message


async def test_a_result_without_rows_may_lack_the_cursor_column(means, loader, sources):
    """What documents would have had, nobody can tell."""
    sources.source.columns, sources.source.rows = COLUMNS, []
    with means.registry.writing() as connection:
        update_dataloader(connection, saved(means.registry, loader), {"cursor_column": "seq"}, means.clock())
    assert (await run_once(means, loader)).status is RunStatus.DONE


async def test_customers_are_there_by_name_before_their_events_and_keep_their_names(
    means, loader, sources, registry, clock
):
    sources.source.columns = (*COLUMNS, Column("customerName", "text", Kind.TEXT))
    sources.source.rows = [(*a_row(1, "acme"), '"Acme Inc"'), (*a_row(2, "bee"), "null")]
    await run_once(means, loader)
    sources.source.rows = [(*a_row(3, "acme"), '"Other"')]
    clock.passes(hours=1)
    async with going_on(means):
        await until(lambda: len(sources.source.asked) == 2 and ended(registry, loader))
    with registry.reading() as connection:
        acme = resolve(connection, loader.world, "acme")
        assert (acme.name, acme.type.value) == ("Acme Inc", "automatically_created")
        assert resolve(connection, loader.world, "bee") is None


@pytest.mark.parametrize("how", ["pause", "delete", "stop"])
async def test_a_run_in_its_midst_is_cancelled_at_its_source(means, loader, sources, how, registry):
    """Whether the dataloader is paused or deleted, or the process told to stop; that one is begun again by the next."""
    reached = threading.Event()

    def before(page):
        if page == 1:
            reached.set()
            assert sources.source.cancelled.wait(WAIT_S_MAX)

    sources.source.before = before
    sources.source.rows = [a_row(number) for number in range(1, 9001)]
    async with going_on(means):
        await until(reached.is_set)
        with registry.writing() as connection:
            if how == "pause":
                update_dataloader(connection, loader, {"status": "paused"}, means.clock())
            elif how == "delete":
                delete_dataloader(connection, loader)
        if how != "stop":
            await until(sources.source.cancelled.is_set)
        if how == "pause":
            assert "paused" in (await until(lambda: ended(registry, loader))).message
    assert sources.source.cancelled.is_set()
    await until(lambda: sources.source.closed)
    if how == "stop":
        assert newest(registry, loader).status is RunStatus.PENDING
        sources.source = ListedSource([a_row(1)])
        assert (await run_once(means, loader)).counts.rows_read == 1


async def test_who_stalls_appends_nothing_more(means, loader, sources, log, monkeypatch):
    """Once it could not hold its run for long: another may have it."""
    monkeypatch.setattr(work, "APPEND_S_MAX", runs.HELD_S + 1)
    async with going_on(means):
        await until(lambda: sources.source.closed)
    assert (events(log), newest(means.registry, loader).ended_at) == ([], None)


async def test_who_stalls_between_taking_a_run_and_working_on_it_appends_nothing(  # noqa: PLR0917
    means, loader, sources, registry, clock, log
):
    """The time that it was held for began when it was asked for."""
    with registry.writing() as connection:
        begin_due(connection, clock())
        taken = claim(connection, "me", clock(), of_connection_max=1)
    asked_at = work.elapsed_s() - runs.HELD_S
    assert await work.RunWork(means, taken, "me", asked_at).work() is None
    assert (events(log), sources.source.closed, newest(registry, loader).ended_at) == ([], True, None)


async def test_a_run_whose_process_is_gone_is_taken_up_from_its_beginning(means, loader, registry, clock, log):
    with registry.writing() as connection:
        begin_due(connection, clock())
        claim(connection, "gone", clock(), of_connection_max=1)
    clock.passes(seconds=runs.HELD_S + 1)
    run = await run_once(means, loader)
    assert (run.status, run.attempts, len(events(log))) == (RunStatus.DONE, 2, 7)


class StuckLog(MemoryLogWriter):
    """Takes so many appends, and does not answer the next one, which it may have written."""

    def __init__(self, log, appends, *, writes):
        super().__init__(log)
        self.left, self.writes, self.stuck = appends, writes, asyncio.Event()

    async def append(self, section):
        self.left -= 1
        if self.left < 0:
            if self.writes:
                await super().append(section)
            self.stuck.set()
            await asyncio.Event().wait()
        return await super().append(section)


@pytest.mark.parametrize("appends", [0, 1])
@pytest.mark.parametrize("writes", [True, False])
async def test_wherever_a_process_is_killed_the_next_one_brings_all_rows(  # noqa: PLR0917
    means, loader, sources, clock, log, monkeypatch, appends, writes
):
    """With what the source has by then as the latest version of each, and the cursor after it."""
    sources.source.rows = [a_row(number) for number in range(1, 5_101)]
    stuck = StuckLog(log, appends, writes=writes)
    with monkeypatch.context() as patched:
        patched.setattr(work, "release", lambda *_: False)  # Who is killed releases nothing.
        async with going_on(replace(means, log=stuck)):
            await until(stuck.stuck.is_set)
    assert (saved(means.registry, loader).cursor, newest(means.registry, loader).status) == (None, RunStatus.PROCESSING)
    sources.source = ListedSource([a_row(number, amount="2") for number in range(1, 5_101)])
    clock.passes(seconds=runs.HELD_S + 1)
    run = await run_once(means, loader)
    latest = {event["record"]["id"]: event["record"]["amount"] for event in events(log)}
    assert latest == dict.fromkeys(range(1, 5_101), 2)
    assert (run.attempts, run.counts.rows_accepted, saved(means.registry, loader).cursor.value) == (2, 5_100, 5_100)


async def test_two_processes_run_each_run_once(means, loader, sources, registry, clock, log):  # noqa: PLR0917
    """Each with its own registry, log writer and clock."""
    other_registry = Registry(registry.url.render_as_string(hide_password=False))
    other = replace(means, registry=other_registry, log=MemoryLogWriter(log))
    async with going_on(means), going_on(other):
        for number in range(1, 4):
            await until(lambda number=number: len(sources.source.asked) == number and ended(registry, loader))
            clock.passes(hours=1)
        await until(lambda: len(sources.source.asked) == 4 and ended(registry, loader))
    other_registry.close()
    assert [event["record"]["id"] for event in events(log)] == [*range(1, 8)] * 4
