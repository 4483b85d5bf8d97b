"""A run is begun once, taken by one, and ends once; whatever is written, its holder writes it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
import sqlalchemy as sa

from loaders.cursors import Cursor
from loaders.dataloaders import runs
from loaders.dataloaders.model import Counts, RunStatus, Trigger
from loaders.dataloaders.registry import create_dataloader, delete_dataloader, find_dataloader, update_dataloader
from loaders.dataloaders.runs import (
    ATTEMPTS_MAX,
    HELD_S,
    End,
    Hold,
    begin_due,
    begin_run,
    claim,
    find_run,
    finish,
    hold,
    latest_runs,
    list_runs,
    overdue_since,
    release,
)
from loaders.dataloaders.tables import dataloader_runs
from loaders.source import Kind
from metering.errors import RegistryUnavailableError
from metering.registry.engine import Registry
from metering.registry.outbox import list_messages
from tests.loaders.dataloaders.conftest import make_account, make_connection

take = partial(claim, of_connection_max=1)


@pytest.fixture
def write(registry):
    """Run something in a writing transaction."""

    def run(change, *args, **named):
        with registry.writing() as connection:
            return change(connection, *args, **named)

    return run


@pytest.fixture
def a_loader(write, account, connection_id, clock):
    def make(**changes):
        usual = {"connection_id": connection_id, "event_type": "call", "query": "q", "refresh_interval": "1h"}
        return write(create_dataloader, account, {**usual, **changes}, clock())

    return make


def found(registry, run):
    with registry.reading() as connection:
        return find_run(connection, run.world, run.dataloader_id, run.id)


def messages(registry, account):
    with registry.reading() as connection:
        return [message.fact for message in list_messages(connection, account, conditions=(), take=9, skip=0)[0]]


def test_what_is_due_is_begun_once_and_then_on_the_grid(write, a_loader, account, clock):
    """However many moments were missed, it is one run."""
    loader = a_loader()
    clock.passes(hours=5, minutes=20)
    assert (write(begin_due, clock()), write(begin_due, clock())) == (1, 0)
    assert write(find_dataloader, account, loader.id).next_run_at == loader.created_at + timedelta(hours=6)


def test_what_falls_due_while_a_run_goes_on_is_begun_after_it(write, a_loader, clock):
    a_loader()
    write(begin_due, clock())
    taken = write(take, "me", clock())
    clock.passes(hours=3)
    assert write(begin_due, clock()) == 0
    assert write(finish, taken, "me", End(Counts()), clock()) is RunStatus.DONE
    assert write(begin_due, clock()) == 1


def test_a_second_unfinished_run_cannot_be_written_by_anybody(write, a_loader, clock):
    """The database itself refuses it."""
    loader = a_loader()
    run = write(begin_run, loader, Trigger.MANUAL, clock())
    assert write(begin_run, loader, Trigger.SCHEDULED, clock()) is None
    copy = sa.select(sa.literal("run_2"), *[one for one in dataloader_runs.c if one.name != "id"])
    names = ["id", *(one.name for one in dataloader_runs.c if one.name != "id")]
    insert = dataloader_runs.insert().from_select(names, copy.where(dataloader_runs.c.id == run.id))
    with pytest.raises(RegistryUnavailableError):
        write(lambda connection: connection.execute(insert))


def test_a_run_is_taken_by_one_until_it_is_held_no_more(write, a_loader, clock, registry):
    """Then by another, who begins it again; who had it can write nothing more."""
    a_loader()
    write(begin_due, clock())
    first = write(take, "one", clock())
    assert write(take, "two", clock()) is None
    clock.passes(seconds=HELD_S - 1)
    assert write(hold, first.run.id, "one", Counts(5, 5), clock(), rejects_too=False) is Hold.HELD
    clock.passes(seconds=HELD_S - 1)
    assert write(take, "two", clock()) is None
    clock.passes(seconds=2)
    second = write(take, "two", clock())
    assert (second.run.id, second.run.attempts, second.run.counts) == (first.run.id, 2, Counts(0, 0, 0, []))
    assert write(hold, first.run.id, "one", Counts(6, 6), clock(), rejects_too=False) is Hold.LOST
    assert write(finish, first, "one", End(Counts(7, 7)), clock()) is None
    assert write(release, first.run.id, "one") is False
    assert write(finish, second, "two", End(Counts(8, 8)), clock()) is RunStatus.DONE
    assert found(registry, first.run).counts.rows_read == 8


def test_the_cursor_is_saved_with_the_end_of_the_run_and_not_before(write, a_loader, account, clock):
    loader = a_loader(cursor_column="id", cursor_start=0)
    write(begin_due, clock())
    taken = write(take, "me", clock())
    write(hold, taken.run.id, "me", Counts(5, 5), clock(), rejects_too=True)
    assert write(find_dataloader, account, loader.id).cursor is None
    began_at = clock() - timedelta(seconds=3)
    write(finish, taken, "me", End(Counts(5, 4, 1), Cursor(Kind.NUMBER, 5), began_at), clock())
    saved = write(find_dataloader, account, loader.id)
    assert (saved.cursor, saved.last_run_at) == (Cursor(Kind.NUMBER, 5), began_at)


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (End(Counts(3, 3)), RunStatus.DONE),
        (End(Counts(3, 2, 1)), RunStatus.PARTIAL),
        (End(Counts(3, 0, 3)), RunStatus.ERROR),
        (End(Counts(3, 3), message="the table is gone"), RunStatus.ERROR),
        (End(Counts(3, 3), message="paused", told=False), RunStatus.ERROR),
    ],
)
def test_a_failure_is_told_once_in_the_outbox(write, a_loader, clock, registry, end, status):  # noqa: PLR0917
    """And leaves the cursor as it was; what somebody wanted is no failure."""
    loader = a_loader()
    write(begin_due, clock())
    taken = write(take, "me", clock())
    assert write(finish, taken, "me", end, clock()) is status
    facts = messages(registry, loader.world)
    assert len(facts) == (status is RunStatus.ERROR and end.told)
    assert (write(find_dataloader, loader.world, loader.id).last_run_at is None) == (end.began_at is None)
    if facts:
        (fact,) = facts
        assert (fact.event_type, fact.data["run_id"], fact.data["message"]) == (
            "dataloader.failed",
            taken.run.id,
            found(registry, taken.run).message,
        )


def test_a_changed_cursor_column_keeps_a_run_from_saving_what_it_read(write, a_loader, account, clock):
    loader = a_loader(cursor_column="id", cursor_start=0)
    write(begin_due, clock())
    taken = write(take, "me", clock())
    write(update_dataloader, loader, {"cursor_column": "seq"}, clock())
    assert write(finish, taken, "me", End(Counts(), Cursor(Kind.NUMBER, 5), clock()), clock()) is RunStatus.DONE
    assert write(find_dataloader, account, loader.id).cursor is None


def test_a_run_that_no_process_survives_is_given_up(write, a_loader, account, clock, registry):
    a_loader(refresh_interval=None)
    run = write(begin_run, write(find_dataloader, account, a_loader().id), Trigger.MANUAL, clock())
    for _ in range(ATTEMPTS_MAX):
        assert write(take, "me", clock()) is not None
        clock.passes(seconds=HELD_S + 1)
    assert write(take, "me", clock()) is None
    assert found(registry, run).status is RunStatus.ERROR
    assert len(messages(registry, account)) == 1


def test_a_run_that_is_left_behind_in_order_counts_as_no_attempt(write, a_loader, clock):
    a_loader()
    write(begin_due, clock())
    for _ in range(ATTEMPTS_MAX + 1):
        taken = write(take, "me", clock())
        assert write(release, taken.run.id, "me")
    assert taken.run.attempts == 1


def test_pausing_ends_a_run_whether_somebody_has_it_or_not(write, a_loader, account, clock, registry):
    held, waiting = a_loader(), a_loader()
    run = write(begin_run, held, Trigger.MANUAL, clock())
    write(take, "me", clock())
    other = write(begin_run, waiting, Trigger.MANUAL, clock())
    for loader in (held, waiting):
        write(update_dataloader, loader, {"status": "paused"}, clock())
    assert "paused" in write(hold, run.id, "me", Counts(), clock(), rejects_too=False)
    assert write(take, "another", clock()) is None
    assert (found(registry, other).status, messages(registry, account)) == (RunStatus.ERROR, [])


def test_a_deleted_dataloader_takes_its_run_with_it(write, a_loader, clock):
    loader = a_loader()
    run = write(begin_run, loader, Trigger.MANUAL, clock())
    write(take, "me", clock())
    write(delete_dataloader, loader)
    assert write(hold, run.id, "me", Counts(), clock(), rejects_too=False) is Hold.LOST


def test_runs_over_one_connection_take_turns(write, a_loader, clock, registry, account):
    """Those over another do not wait for them."""
    a_loader()
    a_loader()
    a_loader(connection_id=make_connection(registry, account))
    write(begin_due, clock())
    taken = [write(take, worker, clock()) for worker in ("a", "b", "c")]
    assert taken[0].run.connection_id != taken[1].run.connection_id
    assert taken[2] is None
    assert write(overdue_since, clock()) == clock()


def test_an_account_with_many_runs_does_not_keep_another_waiting(write, a_loader, clock, registry):
    """Whose runs are fewest under way comes first."""
    for _ in range(3):
        write(begin_run, a_loader(refresh_interval=None), Trigger.MANUAL, clock())
    clock.passes(seconds=1)
    other = make_account(registry)
    fields = {"connection_id": make_connection(registry, other), "event_type": "call", "query": "q"}
    late = write(begin_run, write(create_dataloader, other, fields, clock()), Trigger.MANUAL, clock())
    taken = [write(claim, "me", clock(), of_connection_max=9).run.id for _ in range(4)]
    assert taken.index(late.id) == 1


def test_the_last_runs_are_kept(write, a_loader, account, clock, monkeypatch):
    monkeypatch.setattr(runs, "KEPT_MAX", 4)
    loader = a_loader(refresh_interval=None)
    for _ in range(7):
        clock.passes(seconds=1)
        last = write(begin_run, loader, Trigger.MANUAL, clock())
        write(finish, write(take, "me", clock()), "me", End(Counts()), clock())
    kept, total = write(list_runs, account, loader.id, take=1, skip=0)
    assert (total, kept[0].id, write(latest_runs, account, [loader.id])[loader.id].id) == (4, last.id, last.id)


async def test_of_many_who_look_at_once_one_begins_and_one_takes_each_run(registry, a_loader, clock):
    """Each with a registry of its own, as processes have."""
    for _ in range(5):
        a_loader()
    others = [Registry(registry.url.render_as_string(hide_password=False)) for _ in range(4)]

    def look(opened):
        with opened.writing() as connection:
            begun = begin_due(connection, clock())
        taken = []
        while True:
            with opened.writing() as connection:
                one = claim(connection, str(id(opened)), clock(), of_connection_max=100)
            if one is None:
                return begun, taken
            taken.append(one.run.id)

    with ThreadPoolExecutor(4) as threads:
        looked = await asyncio.gather(
            *(asyncio.get_running_loop().run_in_executor(threads, look, one) for one in others)
        )
    for one in others:
        one.close()
    ids = [run_id for _, taken in looked for run_id in taken]
    assert (sum(begun for begun, _ in looked), len(ids), len(set(ids))) == (5, 5, 5)
