"""The whole product: an operator lists dead letters and replays those that are good by now."""

import asyncio
import json
import urllib.request

import pytest

from deploy.run_dir import run_dir_of
from ingest.log.client import RemoteLogWriter
from ingest.wire import Kind, Section
from metering.registry.accounts import find_account
from metering.registry.engine import Registry
from metering.world import Mode, World
from tests.pipeline.product import Client, Product

pytestmark = pytest.mark.slow

EVENT = b'{"customer_id":"acme","timestamp":"2024-01-15T10:30:00Z","event_type":"call","record":{"id":1}}'


def default_world(product):
    registry = Registry(f"sqlite:///{product.data_dir}/registry.db")
    with registry.reading() as connection:
        account = find_account(connection, "default")
    registry.close()
    return World(account.id, Mode.TEST)


async def test_a_dead_letter_is_listed_and_replayed_once(product):
    """Two sections that no gateway would let through: one is good by now and is counted, one stays with its reason."""
    assert "no dead letters" in product.command("dead-letters", "list").stdout
    world = default_world(product)
    writer = await RemoteLogWriter.open(run_dir_of(product.data_dir) / "log.sock")
    await writer.append(Section(world, Kind.EVENTS, 1, 4, b"[" + EVENT + b"]"))
    await writer.append(Section(world, Kind.EVENTS, 1, 1, b"[nonsense]"))
    await writer.close()
    async with Client(product) as client:
        await client.until_applied()
        assert (await client.get("/v1/events"))["meta"]["total"] == 0
        listed = product.command("dead-letters", "list")
        assert listed.returncode == 0, listed.stderr
        assert listed.stdout.count("waiting") == 2
        assert "1 events, the section's head says 4" in listed.stdout
        replayed = product.command("dead-letters", "replay")
        assert replayed.returncode == 1
        assert "1 letters replayed with 1 events, 1 still no good" in replayed.stdout
        await client.until_applied()
        assert (await client.get("/v1/events"))["meta"]["total"] == 1
        assert product.command("dead-letters", "list").stdout.count("replayed") == 1
        assert "0 letters replayed" in product.command("dead-letters", "replay").stdout


def poisoned(product, begun):
    """The line that says so, in what the product has printed since; None before."""
    lines = [line for line in product.output()[begun:].splitlines() if "consumer stands still" in line]
    return lines[0] if lines else None


async def test_a_log_full_of_poison_is_one_clear_line_until_an_operator_lets_it_pass(tmp_path):
    """The figures stand still and everything else works: questions are answered, events are taken, readiness says it.
    It survives kill -9, and what the line says is what helps."""
    product = Product(tmp_path / "data").start()
    try:
        world = default_world(product)
        writer = await RemoteLogWriter.open(run_dir_of(product.data_dir) / "log.sock")
        nonsense = Section(world, Kind.EVENTS, 1, 1, b"[nonsense]")
        await asyncio.gather(*(writer.append(nonsense) for _ in range(40)))
        await writer.close()
        begun = 0
        for _ in range(2):
            while poisoned(product, begun) is None:
                await asyncio.sleep(0.1)
            assert "METERLINE_ACCEPT_POISON=1" in poisoned(product, begun)
            async with Client(product) as client:
                await client.send([json.loads(EVENT)])
                assert (await client.get("/v1/ingest/lag"))["lag_events"] > 0
                assert (await client.get("/v1/events"))["meta"]["total"] == 0
                async with client.session.get(f"{product.url}/readyz") as answer:
                    assert answer.status == 503
                    assert "figures stand still" in (await answer.json())["message"]
                async with client.session.get(f"{product.url}/metrics") as answer:
                    assert 'meterline_up{part="consumer"} 0' in await answer.text()
            await asyncio.to_thread(product.kill_all)
            begun = len(product.output())
            product.spawn()
            while product.parts()["core"] == [] or not await asyncio.to_thread(answers, product):
                await asyncio.sleep(0.1)
        product.kill_all()
        product._environment["METERLINE_ACCEPT_POISON"] = "1"
        product.start()
        async with Client(product) as client:
            await client.until_applied()
            assert (await client.get("/v1/events"))["meta"]["total"] == 1
            assert product.command("dead-letters", "list").stdout.count("waiting") == 40
        assert "Traceback" not in product.output()
        assert "starting it again" not in product.output()
    finally:
        product.stop()


def answers(product):
    """Whether its core answers, ready or not."""
    try:
        with urllib.request.urlopen(f"{product.url}/healthz", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def test_without_a_running_meterline_it_says_so_in_one_line(tmp_path):
    """No traceback: what is missing, and the remedy."""
    asked = Product(tmp_path / "data").command("dead-letters", "list")
    assert asked.returncode == 1
    assert "meterline up" in asked.stderr
    assert asked.stderr.count("\n") == 1
