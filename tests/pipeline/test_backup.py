"""A backup of a running product, restored elsewhere, has all that was acknowledged before it began."""

import asyncio
import itertools
import random
import shutil

import pytest

from deploy.backup.manifest import read_manifest
from metering.position import Cutoff, last_of_message
from tests.pipeline.product import Client, Product
from tests.pipeline.test_log_life import SMALL, a_batch, an_aggregator, figures

pytestmark = pytest.mark.slow


async def keep_sending(client, stop):
    chance = random.Random(11)
    for begin in itertools.count(50_000, 200):
        if stop.is_set():
            return
        await client.send(a_batch(chance, begin, 200))


async def test_a_backup_under_load_is_restored_elsewhere_with_equal_figures(tmp_path):
    """Figures at the backup's cut-off are those of the installation it was taken of; the original goes on."""
    product = Product(tmp_path / "data", environment=SMALL).start()
    other = Product(tmp_path / "other", environment=SMALL)
    backup = tmp_path / "backup"
    stop = asyncio.Event()
    try:
        async with Client(product) as client, Client(product) as sender:
            aggregator = await an_aggregator(client)
            for begin in range(0, 6_000, 2000):
                await client.send(a_batch(random.Random(begin), begin))
            before = await figures(client, aggregator)
            as_of = f"&as_of={client.answer_headers['X-Usage-Cutoff']}"
            sending = asyncio.create_task(keep_sending(sender, stop))
            told = await asyncio.to_thread(product.command, "backup", str(backup))
            stop.set()
            await sending
            assert told.returncode == 0, told.stdout + told.stderr
            assert "is not empty" in product.command("backup", str(backup)).stderr
            end = read_manifest(backup).next_offset
            cut = f"&as_of={Cutoff({0: last_of_message(0, end - 1)}).encode()}"
            expected = await figures(client, aggregator, cut)
        told = other.command("restore", str(backup))
        assert told.returncode == 0, told.stdout + told.stderr
        other.start_with(product.key)
        async with Client(other, product.key) as client:
            assert await figures(client, aggregator) == expected
            assert await figures(client, aggregator, as_of) == before
            await client.send(a_batch(random.Random(1), 90_000, 10))
            assert await figures(client, aggregator) != expected
        assert "is not empty" in other.command("restore", str(backup)).stderr
    finally:
        stop.set()
        product.stop()
        other.stop()


def test_a_damaged_backup_is_refused_and_leaves_nothing(tmp_path):
    """A changed byte, a missing file, no manifest."""
    product = Product(tmp_path / "data").start()
    product.stop()
    backup = tmp_path / "backup"
    told = product.command("backup", str(backup))
    assert told.returncode == 0, told.stdout + told.stderr
    for damage, reason in ((flip, "is damaged"), (lose, "is missing"), (lose_manifest, "no whole backup")):
        copy = tmp_path / damage.__name__
        shutil.copytree(backup, copy)
        damage(copy)
        other = Product(tmp_path / f"other-{damage.__name__}")
        told = other.command("restore", str(copy))
        assert told.returncode == 1
        assert reason in told.stderr
        assert not other.data_dir.exists()


def flip(folder):
    path = folder / "registry.db"
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])


def lose(folder):
    (folder / "registry.db").unlink()


def lose_manifest(folder):
    (folder / "manifest.json").unlink()
