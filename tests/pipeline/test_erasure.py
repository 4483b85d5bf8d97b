"""A customer's text is erased from everything that is kept, and no figure moves."""

import asyncio
import random

import pytest

from deploy.run_dir import run_dir_of
from ingest.log.archive.folder import archived
from ingest.log.archive.segment import frames, unpack
from ingest.log.client import RemoteLogWriter
from ingest.wire import Kind, Section
from metering.http.json import dumps
from tests.deploy.test_dead_letters import default_world
from tests.pipeline.product import Client, Product
from tests.pipeline.test_log_life import SMALL, a_batch, an_aggregator, figures

pytestmark = pytest.mark.slow

SECRET = "Ada Lovelace of 12 St James's Square"


def everything_kept(data_dir):
    """Every byte of the log, its archive unpacked, the registry, and files that wait."""
    for segment in archived(data_dir / "log-archive"):
        unpacked = unpack(segment, data_dir)
        with unpacked.file as file:
            yield b"".join(bytes(payload) for _, payload, _ in frames(file, segment.path, segment.first))
    for path in [*(data_dir / "log").iterdir(), *data_dir.glob("registry.db*"), *(data_dir / "imports").iterdir()]:
        yield path.read_bytes()


async def test_erased_text_is_gone_and_figures_stay(tmp_path):
    """Through a kill in the middle and a rebuild afterwards; what is sent again is still known."""
    product = Product(tmp_path / "data", environment=SMALL).start()
    chance = random.Random(5)
    try:
        async with Client(product) as client:
            customer = {"external_id": "ada", "name": SECRET, "billing_email": "ada@example.com"}
            keyed = {"Idempotency-Key": "make-ada-once-and-no-more"}
            await client.call("POST", "/v1/customers", customer, headers=keyed)
            aggregator = await an_aggregator(client)
            hers = [
                {**event, "customer_id": "ada", "record": {**event["record"], "id": f"ada-{number}", "who": SECRET}}
                for number, event in enumerate(a_batch(chance, 0, 500))
            ]
            await client.send(a_batch(chance, 40_000, 50))
            await client.send(hers)
            early = await figures(client, aggregator)
            as_of = f"&as_of={client.answer_headers['X-Usage-Cutoff']}"
            for begin in range(0, 4_000, 2000):
                await client.send(a_batch(chance, begin))
            writer = await RemoteLogWriter.open(run_dir_of(tmp_path / "data") / "log.sock")
            faulty = [{**hers[0], "timestamp": "never"}]
            await writer.append(Section(default_world(product), Kind.EVENTS, 1, 1, dumps(faulty)))
            await writer.close()
            late = await figures(client, aggregator)
            begun = await client.call("POST", "/v1/customers/ada/erase", {}, expect=(202,))
            product.kill_all()
            product.start()
            done = await until_done(client, begun["id"])
            assert done["kept_properties"] == {"*": [], "call": ["amount"]}
            assert done["events_erased"] >= 500
            assert done["dead_letters_erased"] == 1
            assert done["log_segments_rewritten"] >= 1
            assert await figures(client, aggregator) == late
            assert await figures(client, aggregator, as_of) == early
            told = await client.get("/v1/events/call/ada-3/versions")
            assert [version["record"]["who"] for version in told["data"]] == [None]
            got = await client.get("/v1/customers/ada")
            assert (got["name"], got["billing_email"]) == (None, None)
            again = await client.call("POST", "/v1/customers", customer, headers=keyed)
            assert again == {}
            await client.send(hers)
            assert await figures(client, aggregator) == late
            assert await client.get("/v1/events/call/ada-3/versions") == told
            begun = await client.call("POST", "/v1/customers/ada/erase", {}, expect=(202,))
            await until_done(client, begun["id"])
        product.stop()
        assert not [content for content in everything_kept(tmp_path / "data") if SECRET.encode() in content]
        told = product.command("rebuild")
        assert told.returncode == 0, told.stdout + told.stderr
        assert "equal: every row and every figure" in told.stdout
    finally:
        product.stop()


async def until_done(client, erasure_id):
    """Wait for an erasure."""
    async with asyncio.timeout(300):
        while (found := await client.get(f"/v1/erasures/{erasure_id}"))["status"] != "done":
            await asyncio.sleep(0.2)
    return found
