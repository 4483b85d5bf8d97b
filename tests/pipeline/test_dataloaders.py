"""The whole product pulls usage from a real PostgreSQL: nothing is lost or doubled, whatever ends in its midst."""

import asyncio

import psycopg
import pytest

from loaders.secrets.keys import new_key
from tests.pipeline.apart import KEY, Apart
from tests.pipeline.product import Client, Product

pytestmark = pytest.mark.slow

ROWS = 150_000
QUERY = """
SELECT n AS id, 'customer-' || n % 7 AS "customerId", 'Customer ' || n % 7 AS "customerName", at AS timestamp, amount
FROM calls
"""


@pytest.fixture
def database(postgres):
    """A table of calls of yesterday, each of one unit."""
    name = postgres.database()
    postgres.run(
        "CREATE TABLE calls (n bigint PRIMARY KEY, at timestamptz NOT NULL, amount numeric NOT NULL)",
        f"INSERT INTO calls SELECT n, now() - interval '1 day', 1.25 FROM generate_series(1, {ROWS}) n",
        database=name,
    )
    yield postgres.url(name)
    postgres.drop(name)


async def a_loader(client, database, **more):
    connection = await client.call("POST", "/v1/connections", {"provider": "postgres", "name": "pg", "url": database})
    body = {"connection_id": connection["id"], "event_type": "call", "query": QUERY, **more}
    return await client.call("POST", "/v1/dataloaders", body)


async def run_of(client, loader, run_id):
    return await client.get(f"/v1/dataloaders/{loader['id']}/runs/{run_id}")


async def begun(client, loader, **body):
    """Begin a run; gives its id."""
    run = await client.call("POST", f"/v1/dataloaders/{loader['id']}/run", body or None, expect=(202,))
    return run["id"]


async def until(client, loader, run_id, reached):
    async with asyncio.timeout(300):
        while not reached(run := await run_of(client, loader, run_id)):
            await asyncio.sleep(0.02)
    return run


async def figures(client, aggregators):
    """What is counted now: how many, and how much."""
    await client.until_applied()
    rows = [await client.get(f"/v1/aggregators/{one}/usage/group-by-customer?{_RANGE}&take=100") for one in aggregators]
    return [sum(row["total"] for row in found["data"]) for found in rows]


_RANGE = "start_date=2020-01-01&end_date=2090-01-01"


async def test_a_loader_that_is_killed_in_its_midst_loses_and_doubles_nothing(tmp_path, database):
    """Then a correction in the source corrects the figures, and a deleted loader leaves them."""
    product = Product(tmp_path / "data", gateways=1).start()
    try:
        async with Client(product) as client:
            made = []
            for counted in ({"operation": "count"}, {"operation": "sum", "property": "amount"}):
                body = {"name": counted["operation"], "entity": "call", **counted}
                made.append((await client.call("POST", "/v1/aggregators", body))["id"])
            loader = await a_loader(client, database)
            killed = None
            while killed is None or killed["attempts"] < 2:  # One that ended before it was killed says nothing.
                run_id = await begun(client, loader, from_start=True)
                await until(client, loader, run_id, lambda run: run["rows_accepted"] or run["ended_at"])
                assert product.kill_part("loaders")
                killed = await until(client, loader, run_id, lambda run: run["ended_at"])
            assert (killed["status"], killed["rows_read"], killed["rows_accepted"]) == ("done", ROWS, ROWS)
            assert await figures(client, made) == [ROWS, ROWS * 5 / 4]
            customers = await client.get("/v1/customers?type=automatically_created&take=1")
            assert customers["data"][0]["name"].startswith("Customer ")

            with psycopg.connect(database, autocommit=True) as connection:
                connection.execute("UPDATE calls SET amount = 2.5 WHERE n <= 1000")
            run_id = await begun(client, loader)
            await until(client, loader, run_id, lambda run: run["ended_at"])
            assert await figures(client, made) == [ROWS, (ROWS + 1000) * 5 / 4]

            metrics = await _text(client, "/metrics")
            assert 'meterline_dataloader_runs_total{status="done"}' in metrics
    finally:
        assert product.stop() in {0, None}


async def test_processes_apart_share_runs_out_and_take_over_what_one_leaves(tmp_path, database, kafka, clickhouse):
    """Several loaders' runs, each once; the process that has one is told to stop in its midst."""
    environment = {"METERLINE_SECRETS_KEY": new_key().text, "METERLINE_LOADERS_OF_CONNECTION": "4"}
    one = {"gateways": 1, "consumers": 1, "apis": 1, "loaders": 2}
    with Apart(tmp_path, kafka, clickhouse.url, environment=environment, **one) as apart:
        async with Client(apart.gateways[0], KEY) as client:
            made = [await a_loader(client, database, event_type=f"call {n}") for n in range(4)]
            runs = [await begun(client, loader) for loader in made]
            await until(client, made[0], runs[0], lambda run: run["rows_accepted"] or run["ended_at"])
            assert await asyncio.to_thread(apart.loaders[0].stop) == 0
            ended = [
                await until(client, loader, run, lambda run: run["ended_at"])
                for loader, run in zip(made, runs, strict=True)
            ]
            assert {(run["status"], run["rows_accepted"], run["attempts"]) for run in ended} == {("done", ROWS, 1)}
            body = {"name": "all", "entity": "call 0", "operation": "sum", "property": "amount"}
            counted = await client.call("POST", "/v1/aggregators", body)
            assert await figures(client, [counted["id"]]) == [ROWS * 5 / 4]
            samples = await asyncio.to_thread(apart.loaders[1].metrics)
            assert int(samples['meterline_dataloader_runs_total{status="done"}']) >= 1
            assert samples['meterline_up{part="loaders"}'] == "1"


async def _text(client, path):
    async with client.session.get(client.url + path) as answer:
        return await answer.text()
