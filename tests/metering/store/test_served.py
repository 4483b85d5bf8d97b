"""The store over HTTP: what is sent where, what is asserted, what is refused, and what an outage looks like."""

import asyncio
import re
import threading

import pytest

from metering.errors import MeteringError, StoreRefusedError, StoreSettingsError, StoreUnavailableError
from metering.filters import VALUES_MAX
from metering.store import settings
from metering.store.client import Store
from metering.store.migrations import as_replicated, assert_tables, migrate, shipped
from metering.windows import WINDOWS_MAX
from tests.peers.clickhouse.process import PASSWORD, ClickHouse


def test_every_setting_reaches_the_session(served_store):
    """What is read back over HTTP, in both kinds of session, is what is pinned: quorum, sequential reads and all."""
    for client, pinned in ((served_store.reader(), settings.READER), (served_store.writer(), settings.WRITER)):
        rows = client.query("SELECT name, value FROM system.settings").result_rows
        assert {name: value for name, value in rows if name in pinned} == {
            name: str(value) for name, value in pinned.items()
        }
    assert settings.WRITER["insert_quorum"] == "auto"
    assert settings.WRITER["insert_quorum_parallel"] == 0
    assert settings.SESSION["select_sequential_consistency"] == 1


@pytest.mark.parametrize("which", ["store", "served_store"])
def test_a_list_of_any_length_is_bound(which, request):
    """Longer than a server takes in one parameter; as a constant that functions want, and as a set."""
    opened = request.getfixturevalue(which)
    starts = [1_700_000_000_000_000 + index for index in range(WINDOWS_MAX)]
    found = opened.select(
        "SELECT roundDown({at:Int64}, {starts:Array(Int64)}), length({starts:Array(Int64)})",
        {"at": starts[-1] + 5, "starts": starts},
    )
    assert [tuple(row) for row in found] == [(starts[-1], WINDOWS_MAX)]
    texts = [f"{number:04}'\\" + "漢" * 900 for number in range(VALUES_MAX)]
    found = opened.select(
        "SELECT {text:String} IN {texts:Array(String)}, 'other' IN {texts:Array(String)}",
        {"text": texts[-1], "texts": texts},
    )
    assert [tuple(row) for row in found] == [(1, 0)]


def test_long_parameters_and_keys_ride_in_the_body(served_store, clickhouse):
    """A proxy or load balancer takes some 8 KiB of URL."""
    served_store.select("SELECT length({n:Array(UInt64)})", {"n": list(range(20_000))})
    assert clickhouse.seen()[-1]["url_bytes"] < 8192
    assert "query" not in clickhouse.seen()[-1]["parameters"]
    served_store.look_up(f"SELECT length('{'x' * 3_000_000}') AS n")
    assert clickhouse.seen()[-1]["url_bytes"] < 8192
    assert clickhouse.seen()[-1]["body_bytes"] > 3_000_000


def test_a_wrong_password_is_refused_and_not_told(clickhouse):
    """It would be refused again; the message shows where, never what was sent."""
    wrong = clickhouse.url.replace("%40", "x")
    with pytest.raises(StoreRefusedError, match="Authentication failed") as caught:
        Store.open(wrong)
    assert "rd%3A1" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_a_database_that_is_not_there_is_told_with_the_remedy(clickhouse):
    """Meterline makes tables, not databases."""
    with pytest.raises(StoreRefusedError, match="CREATE DATABASE nowhere"):
        Store.open(clickhouse.url.replace("/default", "/nowhere"))


def test_an_https_url_is_never_spoken_to_in_the_clear(clickhouse):
    """Whatever the port: the password would travel open."""
    before = len(clickhouse.seen())
    with pytest.raises(StoreUnavailableError):
        Store.open(clickhouse.url.replace("http://", "https://"))
    assert len(clickhouse.seen()) == before


@pytest.mark.slow
async def test_a_store_that_goes_away_and_comes_back_is_the_same_store():
    """While it is away every call says so; afterwards the same object goes on, and what was acknowledged is there."""
    with ClickHouse() as server:
        store = Store.open(server.url)
        migrate(store)
        store.command("CREATE TABLE kept (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS fsync_after_insert = 1")
        store.command("INSERT INTO kept SELECT 7")
        server.kill()
        for ask in (store.select, store.look_up, store.command):
            with pytest.raises(StoreUnavailableError, match=r"^the store does not answer \(\w+\)$"):
                ask("SELECT 1")
        with pytest.raises(StoreUnavailableError):
            await asyncio.to_thread(Store.open, server.url)
        server.start()
        assert [tuple(row) for row in store.select("SELECT n FROM kept")] == [(7,)]
        store.close()


@pytest.mark.slow
def test_two_processes_may_migrate_at_once():
    """Both end well, and a third finds everything done."""
    with ClickHouse() as server:
        failures = []

        def begin():
            store = Store.open(server.url)
            try:
                migrate(store)
            except MeteringError as error:
                failures.append(error)
            finally:
                store.close()

        threads = [threading.Thread(target=begin) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        store = Store.open(server.url)
        assert_tables(store)
        store.close()


def test_tables_of_a_cluster_are_the_replicated_kind(store):
    """The engine knows each table with its settings, and asks for the keeper that is absent here."""
    tables = [text for migration in shipped() for text in migration.statements if text.startswith("CREATE TABLE")]
    for statement in tables:
        made = as_replicated(statement)
        assert re.search(r"^ENGINE = Replicated(Replacing)?MergeTree", made, re.MULTILINE), statement
        name = re.search(r"EXISTS (\w+)", made)[1]
        made = made.replace(f"EXISTS {name}", f"EXISTS {name}_replicated")
        version = re.search(r"MergeTree\((\w+)\)", made)
        arguments = f"'/clickhouse/tables/t', 'replica', {version[1]}" if version else "'/clickhouse/t', 'replica'"
        there = re.sub(r"MergeTree(\(\w+\))?\n", f"MergeTree({arguments})\n", made, count=1)
        with pytest.raises((StoreUnavailableError, StoreRefusedError), match="ZooKeeper"):
            store.command(there)


def test_a_database_that_replicates_nothing_is_refused(store):
    """Before the first table is made in it."""
    with pytest.raises(StoreSettingsError, match=r"METERLINE_STORE_REPLICATED=1, but the database .* Replicated\("):
        migrate(store, replicated=True)
    with pytest.raises(StoreSettingsError, match="is not replicated"):
        assert_tables(store, replicated=True)
