"""The whole product: a file that is uploaded is counted exactly, whatever dies meanwhile."""

import asyncio
import io

import aiohttp
import pytest

from tests.pipeline.product import Client

pytestmark = pytest.mark.slow

ROWS = 200_000
ADDRESS = "/v1/events/import"


def a_large_file():
    """Rows of one month; each hundredth is bad."""
    lines = ["timestamp,event_type,customer_id,record/id,record/n\n"]
    lines += [
        f"{'never' if row % 100 == 99 else '2024-01-15T10:30:00Z'},imported,acme,{row},{row % 7}.25\n"
        for row in range(ROWS)
    ]
    return "".join(lines).encode()


async def upload(client, content):
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(content), filename="events.csv", content_type="text/csv")
    async with client.session.post(client.url + ADDRESS, data=form) as answer:
        assert answer.status == 202, await answer.text()
        return (await answer.json())["id"]


async def until(client, job_id, reached):
    for _ in range(4800):
        told = await client.get(f"/v1/imports/{job_id}")
        if reached(told):
            return told
        await asyncio.sleep(0.05)
    raise AssertionError(told)


async def test_an_import_survives_kill_9_and_counts_each_row_once(product):
    """The core is killed in the middle of it, then everything; the file sent once more changes no figure."""
    content = a_large_file()
    good = [row for row in range(ROWS) if row % 100 != 99]
    async with Client(product) as client:
        counted = {"name": "n", "entity": "imported", "operation": "sum", "property": "n"}
        await client.call("POST", "/v1/aggregators", counted)
        job_id = await upload(client, content)
        await until(client, job_id, lambda told: told["rows_total"] > 0)
        assert product.kill_part("core")
        told = await until(client, job_id, lambda told: told["rows_total"] > ROWS // 4)
        assert told["ended_at"] is None, "it was over before everything could be killed"
        product.kill_all()
        product.start()
        told = await until(client, job_id, lambda told: told["ended_at"] is not None)
        assert (told["status"], told["rows_total"], told["rows_accepted"]) == ("partial", ROWS, len(good))
        assert [one["line"] for one in told["rejected"]] == [101 + 100 * number for number in range(1000)]

        again = await upload(client, content)
        told = await until(client, again, lambda told: told["ended_at"] is not None)
        assert (told["status"], told["rows_accepted"]) == ("partial", len(good))
        await client.until_applied()
        (usage,) = await client.get("/v1/customers/acme/usage?start_date=2024-01-01&end_date=2024-02-01")
        assert usage["count"] == len(good)
        assert usage["total"] * 4 == sum(4 * (row % 7) + 1 for row in good)
        versions = await client.get("/v1/events/imported/0/versions")
        assert versions["meta"]["total"] == 1
    assert list((product.data_dir / "imports").glob("imp_*")) == []


async def test_a_file_over_the_limit_is_refused_through_the_gateway(product):
    """413 before its bytes are read; what is no file is 415. The product goes on."""
    async with Client(product) as client:
        headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": str(1 << 30)}

        async def first_bytes():
            yield b"--b\r\n"
            await asyncio.sleep(5)

        async with client.session.post(client.url + ADDRESS, data=first_bytes(), headers=headers) as answer:
            assert answer.status == 413
        async with client.session.post(
            client.url + ADDRESS, data=b"a,b", headers={"Content-Type": "text/csv"}
        ) as answer:
            assert answer.status == 415
        assert (await client.get("/v1/ingest/lag"))["lag_events"] == 0
