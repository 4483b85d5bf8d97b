"""What the product says goes to a full disk: that is lost, and nothing else."""

import subprocess
import sys
import time

import pytest
from aiohttp import web

from deploy import up
from tests.pipeline.product import ROOT, Client, Product

DELETION = {"matching": "record_ids", "record_ids": ["1"]}


def test_a_line_that_cannot_be_written_is_lost_and_the_next_ones_are_not():
    """Written to a full device, nothing is raised and the process ends well; elsewhere every line arrives."""
    script = (
        "import sys; from deploy.output import lose_what_cannot_be_written as lose; lose(); "
        "print('a line'); print('another', file=sys.stderr, flush=True); print('x' * 100_000)"
    )
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device.
        done = subprocess.run([sys.executable, "-c", script], stdout=full, stderr=full, cwd=ROOT, check=False)
    assert done.returncode == 0
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.stdout, done.stderr) == ("a line\n" + "x" * 100_000 + "\n", "another\n")


@pytest.mark.slow
async def test_a_product_whose_output_is_full_refuses_with_503_and_starts_dead_parts_again(tmp_path):
    """A deletion while the core is gone is 503, which is logged; later it is answered."""
    product = Product(tmp_path / "data", environment={"METERLINE_BOOTSTRAP_API_KEY": "test_" + "k" * 40})
    product.key = "test_" + "k" * 40
    product.spawn("/dev/full")
    try:
        async with Client(product) as client:
            assert (await client.get("/v1/ingest/lag"))["lag_events"] == 0
            assert product.kill_part("core")
            async with client.session.delete(product.url + "/v1/events", json=DELETION) as answer:
                assert answer.status in {200, 503}, await answer.text()
            assert await client.call("DELETE", "/v1/events", DELETION) == 0
    finally:
        assert product.stop() == 0


async def test_a_start_that_takes_long_still_ends_with_the_greeting(aiohttp_server, monkeypatch):
    """The operator is told that it takes long, and readiness is waited for all the same."""
    told = []

    async def ready(_):
        return web.Response(status=200 if told else 503)

    app = web.Application()
    app.router.add_get("/readyz", ready)
    server = await aiohttp_server(app)
    monkeypatch.setattr(up, "READY_WAIT_S_MAX", 0.2)
    await up._until_ready("127.0.0.1", server.port, lambda: told.append(time.monotonic()))
    assert len(told) == 1
