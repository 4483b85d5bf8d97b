"""The store derived again from log and archive is the same store, and a difference is told."""

import asyncio
import random
import subprocess
import sys

import pytest

from deploy.run_dir import run_dir_of
from ingest.log.archive.folder import archived
from ingest.log.client import RemoteLogWriter
from ingest.wire import Kind, Section
from tests.deploy.test_dead_letters import default_world
from tests.pipeline.product import ROOT, Client, Product
from tests.pipeline.test_log_life import SMALL, a_batch, an_aggregator, figures, until

pytestmark = pytest.mark.slow

DEAD_LETTERS = 15
"""Fewer than what a consumer stops at when they come in one batch."""

DAMAGE = """
import sys
from metering.store.client import Store
store = Store.open("chdb://" + sys.argv[1])
store.command("ALTER TABLE events DELETE WHERE record_id = '3' SETTINGS mutations_sync = 2")
store.close()
"""


async def a_rich_log(product, client):
    """Events, corrections, duplicates, two kinds of deletion, dead letters."""
    chance = random.Random(3)
    batches = [a_batch(chance, begin) for begin in range(0, 8_000, 2000)]
    for batch in batches:
        await client.send(batch)
    await client.send(batches[1])
    await client.call("DELETE", "/v1/events", {"matching": "record_ids", "record_ids": ["7", "2500"]})
    await client.call("DELETE", "/v1/events", {"matching": "customer_id", "customer_id": "cyd"})
    await client.send(batches[2][:50])
    writer = await RemoteLogWriter.open(run_dir_of(product.data_dir) / "log.sock")
    for _ in range(DEAD_LETTERS):
        await writer.append(Section(default_world(product), Kind.EVENTS, 1, 1, b"[nonsense]"))
    await writer.close()
    await client.until_applied()


async def test_a_rebuilt_store_is_equal_and_takes_the_others_place(tmp_path):
    """Row by row and figure by figure, figures as of earlier moments too; then the product runs on it."""
    product = Product(tmp_path / "data", environment=SMALL).start()
    try:
        async with Client(product) as client:
            aggregator = await an_aggregator(client)
            await client.send(a_batch(random.Random(1), 20_000, 100))
            early = await figures(client, aggregator)
            as_of = f"&as_of={client.answer_headers['X-Usage-Cutoff']}"
            await a_rich_log(product, client)
            late = await figures(client, aggregator)
            assert late != early
            await until(lambda: archived(tmp_path / "data" / "log-archive"))
            assert "in use by another Meterline" in product.command("rebuild").stderr
        product.stop()
        told = product.command("rebuild")
        assert told.returncode == 0, told.stdout + told.stderr
        assert "equal: every row and every figure" in told.stdout
        told = product.command("rebuild", "--replace")
        assert told.returncode == 0, told.stdout + told.stderr
        assert "equal" in told.stdout
        assert not (tmp_path / "data" / "store-rebuild").exists()
        product.start()
        async with Client(product) as client:
            assert await figures(client, aggregator) == late
            assert await figures(client, aggregator, as_of) == early
            await client.send(a_batch(random.Random(2), 30_000, 10))
            assert await figures(client, aggregator) != late
            assert product.command("dead-letters", "list").stdout.count("waiting") == DEAD_LETTERS
    finally:
        product.stop()


async def test_a_store_that_lost_a_row_is_told_and_mended(tmp_path):
    """Which set, whose, which month, which row, and the figures that move; --replace puts it right."""
    product = Product(tmp_path / "data").start()
    try:
        async with Client(product) as client:
            aggregator = await an_aggregator(client)
            await client.send(a_batch(random.Random(1), 0, 200))
            right = await figures(client, aggregator)
        product.stop()
        damaging = [sys.executable, "-c", DAMAGE, str(tmp_path / "data" / "store")]
        await asyncio.to_thread(subprocess.run, damaging, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=True)
        told = product.command("rebuild")
        assert told.returncode == 2, told.stdout + told.stderr
        assert "different events of " in told.stdout
        assert "different current versions of " in told.stdout
        assert f"different aggregator {aggregator} in 2024" in told.stdout
        assert "record '3' at lane 0, offset 0: only derived" in told.stdout
        assert product.command("rebuild", "--replace").returncode == 0
        assert (tmp_path / "data" / "store-replaced").exists()
        product.start()
        async with Client(product) as client:
            assert await figures(client, aggregator) == right
    finally:
        product.stop()


async def test_a_log_without_its_beginning_is_told_with_what_it_still_has(tmp_path):
    """Nothing is derived from half a log."""
    product = Product(tmp_path / "data", environment={**SMALL, "METERLINE_LOG_KEEP": "none"}).start()
    try:
        async with Client(product) as client:
            for begin in range(0, 6_000, 2000):
                await client.send(a_batch(random.Random(1), begin))
            log = tmp_path / "data" / "log"
            await until(lambda: not (log / f"{0:020d}.segment").exists())
        product.stop()
        told = product.command("rebuild")
        assert told.returncode == 1
        assert "has everything from offset" in told.stderr
    finally:
        product.stop()
