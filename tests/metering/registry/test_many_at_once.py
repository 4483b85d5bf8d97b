"""What several processes do at the same moment comes out as if they had done it one after the other.

Each caller here has a pool of its own, as each process has; on PostgreSQL real processes start together besides.
"""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest.imports.jobs import UNFINISHED_MAX, create_job
from metering.errors import RegistryUnavailableError
from metering.http.idempotency import Attempt, Standing
from metering.ids import new_id
from metering.registry.accounts import create_account, ensure_account
from metering.registry.answers import KEPT, RegistryAnswers
from metering.registry.customers import (
    IdentifierTakenError,
    create_customer,
    ensure_customers,
    resolve,
    resolve_many,
    update_customer,
)
from metering.registry.engine import NOBODY, Registry
from metering.registry.lanes import open_lane
from metering.registry.tables import customer_ids, customers, kept_answers, lanes
from metering.world import Mode, World

AT_ONCE = 6
WAIT_S_MAX = 60
NOW = datetime.now(UTC)
ROOT = Path(__file__).parents[3]


@pytest.fixture
def world(registry):
    with registry.writing() as connection:
        return World(create_account(connection, "acme", NOW).id, Mode.TEST)


@pytest.fixture
def all_at_once(registry):
    """Run a coroutine function of (registry, number) in many threads that begin together; give what came of each."""

    def run(do, count=AT_ONCE):
        start = threading.Barrier(count)

        def one(number):
            own = Registry(registry.url.render_as_string(hide_password=False))
            try:
                start.wait(WAIT_S_MAX)
                return asyncio.run(do(own, number))
            except (ValueError, RegistryUnavailableError) as error:
                return error
            finally:
                own.close()

        with ThreadPoolExecutor(count) as threads:
            return list(threads.map(one, range(count)))

    return run


def all_of(registry, table):
    with registry.reading() as connection:
        return connection.execute(table.select()).all()


def test_an_unknown_id_becomes_one_customer(registry, world, all_at_once):
    """However many consumers meet it in the same moment."""
    ids = [f"customer {number}" for number in range(20)]
    made = all_at_once(lambda own, _: own.write(ensure_customers, world, ids, NOW))
    assert sorted(made) == [0] * (AT_ONCE - 1) + [len(ids)]
    assert len(all_of(registry, customers)) == len(ids)
    with registry.reading() as connection:
        assert set(resolve_many(connection, world, ids)) == set(ids)


@pytest.mark.parametrize("seen_before", [False, True], ids=["new", "adopted"])
def test_an_external_id_is_given_once(registry, world, all_at_once, seen_before):
    """One customer gets it, or adopts the one that events made; the others are told whose it is."""
    if seen_before:
        with registry.writing() as connection:
            ensure_customers(connection, world, ["acme"], NOW)
    came = all_at_once(lambda own, _: own.write(create_customer, world, {"external_id": "acme"}, NOW))
    taken = [one for one in came if isinstance(one, IdentifierTakenError)]
    assert len(taken) == AT_ONCE - 1
    (row,) = all_of(registry, customers)
    assert all(row.id in str(error) for error in taken)
    assert {one.identifier for one in all_of(registry, customer_ids)} == {"acme", row.id}


def test_no_change_of_a_customer_is_lost(registry, world, all_at_once):
    """Each reads what the one before it wrote."""
    with registry.writing() as connection:
        customer = create_customer(connection, world, {"details": {}}, NOW)

    def add(connection, world, number):
        found = resolve(connection, world, customer.id)
        update_customer(connection, found, {"details": {**found.details, str(number): True}}, NOW)

    all_at_once(lambda own, number: own.write(add, world, number))
    with registry.reading() as connection:
        assert set(resolve(connection, world, customer.id).details) == {str(number) for number in range(AT_ONCE)}


def test_no_lane_is_given_twice(registry, all_at_once):
    """Each partition has one lane, the same for everybody, whoever opened it."""

    async def open_all(own, first):
        partitions = [(first + step) % AT_ONCE for step in range(AT_ONCE)]
        return {one: await own.write(open_lane, "log", one, NOW) for one in partitions}

    first, *others = all_at_once(open_all)
    assert sorted(first.values()) == list(range(AT_ONCE))
    assert all(other == first for other in others)
    assert len(all_of(registry, lanes)) == AT_ONCE


def test_an_account_is_made_once(all_at_once):
    """Two machines that start for the first time share the default account."""
    came = all_at_once(lambda own, _: own.write(ensure_account, "default", NOW))
    assert sorted(created for _, created in came) == [False] * (AT_ONCE - 1) + [True]
    assert len({account.id for account, _ in came}) == 1


def test_of_one_idempotency_key_one_request_is_carried_out(world, all_at_once):
    """Whichever machine gets it; the others are told that it runs."""

    async def begin(own, _):
        return await RegistryAnswers(own, lambda: NOW).begin(world, "k" * 16, "request")

    came = all_at_once(begin)
    assert sum(isinstance(one, Attempt) for one in came) == 1
    assert came.count(Standing.RUNNING) == AT_ONCE - 1


def test_old_answers_of_all_accounts_are_forgotten_by_all_at_once(registry, all_at_once):
    """No two wait for each other over rows that both would delete."""
    with registry.writing() as connection:
        worlds = [World(create_account(connection, f"account {n}", NOW).id, Mode.TEST) for n in range(AT_ONCE)]
        old = {"fingerprint": "request", "attempt": "", "started_at": NOW - KEPT, "mode": "test"}
        rows = [
            {**old, "account_id": world.account_id, "key": f"{n:016}"} for n in (*range(30), 99) for world in worlds
        ]
        connection.execute(kept_answers.insert(), rows)

    async def begin(own, number):
        keeper = RegistryAnswers(own, lambda: NOW)
        return [await keeper.begin(worlds[number], f"{n:016}", "request") for n in range(3)]

    came = all_at_once(begin)
    assert all(isinstance(one, Attempt) for begun in came for one in begun), came
    assert len(all_of(registry, kept_answers)) == 3 * AT_ONCE


def test_an_account_has_so_many_imports_and_no_more(world, all_at_once):
    """Test and production together."""
    other = World(world.account_id, Mode.PROD)
    came = all_at_once(
        lambda own, number: own.write(create_job, other if number % 2 else world, new_id("imp"), 1, NOW),
        UNFINISHED_MAX + 2,
    )
    assert sum(job is None for job in came) == 2


@pytest.mark.slow
def test_who_waits_for_whom(postgres_registry):
    """Another account's change waits for nobody; a change that spans accounts waits, and is waited for."""
    registry = Registry(postgres_registry)
    other = Registry(postgres_registry)
    done = []

    def change(waits_for):
        with other.writing(waits_for):
            done.append(waits_for)

    with ThreadPoolExecutor(1) as thread:
        with registry.writing("acc_one"):
            change("acc_two")
            change(NOBODY)
            spanning = thread.submit(change, "everybody")
            wait_until(lambda: waiting(registry) == 1)
        spanning.result(WAIT_S_MAX)
        with registry.writing():
            single = thread.submit(change, "acc_one")
            wait_until(lambda: waiting(registry) == 1)
        single.result(WAIT_S_MAX)
    assert done == ["acc_two", NOBODY, "everybody", "acc_one"]
    registry.close()
    other.close()


@pytest.mark.slow
def test_processes_that_start_at_once_migrate_once(postgres):
    """Real processes on an empty database: one builds it, all work in it."""
    url = postgres.url(postgres.database())
    program = [sys.executable, str(Path(__file__).parent / "start_and_work.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    starting = [subprocess.Popen(program, env=environment, **pipes) for _ in range(3)]
    for process in starting:
        assert process.stdout.readline() == "ready\n"
    for process in starting:
        process.stdin.write(url)
        process.stdin.close()
    came = [json.loads(process.stdout.read()) for process in starting]
    assert [process.wait(WAIT_S_MAX) for process in starting] == [0, 0, 0]
    for process in starting:
        process.stdout.close()
    assert sorted(one["created"] for one in came) == [False, False, True]
    assert sum(one["made"] for one in came) == 20
    assert all(one["lanes"] == came[0]["lanes"] for one in came)


def waiting(registry):
    """How many wait for their turn."""
    with registry.reading() as connection:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        return connection.exec_driver_sql(query).scalar_one()


def wait_until(true):
    deadline = time.monotonic() + WAIT_S_MAX
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
