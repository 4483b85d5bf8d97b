"""The parts of the product apart with their registry in PostgreSQL: what several machines share."""

import asyncio

import pytest

from tests.peers.clickhouse.process import ClickHouse
from tests.peers.postgres.server import LOCKED_USER, Postgres
from tests.pipeline.apart import KEY, Apart
from tests.pipeline.plain_model import PlainModel
from tests.pipeline.product import Client
from tests.pipeline.test_apart import kill_one_of_each, send_some
from tests.pipeline.traffic import check

pytestmark = pytest.mark.slow
PASSWORD = "un%2Ftold"


def a_registry(postgres):
    """The address of an empty database, whose user owns it and has a password."""
    name = postgres.database()
    postgres.run(f"CREATE ROLE {LOCKED_USER} LOGIN PASSWORD 'un/told'", f"ALTER DATABASE {name} OWNER TO {LOCKED_USER}")
    return postgres.url(name, LOCKED_USER, PASSWORD)


async def test_figures_are_exact_with_a_registry_that_all_share(tmp_path, kafka):
    """All begin at once on an empty database; one of each is killed under load, then the registry's server, and what is
    refused meanwhile is sent again: every figure equals the model's. Keys that a command makes hold at once, a customer
    that one API makes is the other's too, nobody tells the password."""
    with Postgres() as postgres, ClickHouse() as store:
        environment = {"METERLINE_REGISTRY_URL": a_registry(postgres)}
        with Apart(tmp_path, kafka, store.url, environment=environment) as apart:
            model = PlainModel()
            first, second = (Client(gateway, KEY) for gateway in apart.gateways)
            async with first, second:
                aggregators = []
                for body in ({"operation": "count"}, {"operation": "sum", "property": "amount"}):
                    made = await first.call("POST", "/v1/aggregators", {"name": str(body), "entity": "call", **body})
                    aggregators.append(made["id"])
                clients = (first, second, first, second)
                senders = [send_some(client, number, model) for number, client in enumerate(clients)]
                await asyncio.gather(*senders, kill_one_of_each(apart, model))
                await asyncio.to_thread(lambda: [process.until_ready() for process in apart.all])
                # One round after the other: where both have a key and a timestamp, the later one wins.
                senders = [asyncio.create_task(send_some(client, 4 + n, model)) for n, client in enumerate(clients)]
                await asyncio.to_thread(postgres.kill)
                for gateway in apart.gateways:
                    while (await asyncio.to_thread(gateway.health))["missing"] != ["the registry"]:
                        await asyncio.sleep(0.2)
                await asyncio.to_thread(postgres.start)
                await asyncio.gather(*senders)
                await asyncio.to_thread(lambda: [process.until_ready() for process in apart.all])
                await check(second, model, aggregators)

                made = await first.call("POST", "/v1/customers", {"external_id": "shared", "name": "Shared"})
                for _ in range(4):
                    assert (await second.get("/v1/customers/shared"))["id"] == made["id"]
                key = await asyncio.to_thread(
                    apart.command, "keys", "create", "--account", "default", "--mode", "test", "--scope", "read"
                )
                assert key.returncode == 0, key.stderr
                secret = next(word for word in key.stdout.split() if word.startswith("test_"))
                async with Client(apart.gateways[1], secret) as reader:
                    assert (await reader.get("/v1/customers/shared"))["id"] == made["id"]
            for process in apart.all:
                assert process.stop() == 0, process.output()
                for text in (PASSWORD, "un/told", "Traceback"):
                    assert text not in process.output(), process.output()
