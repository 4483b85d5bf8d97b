"""Files of an invoice's events: nothing runs in a spreadsheet, numbers stay numbers, the sum is the invoice."""

import csv
import io
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from billing.api import exported
from metering.store import ordered

TIERS = [
    {"type": "volume", "from": 0, "to": 2, "amount": 3.3},
    {"type": "volume", "from": 2, "to": None, "amount": 1},
]


@pytest.fixture
async def invoice(shop):
    """An invoice of a fee and five sums, one of them below 0, with hostile text."""
    cus = await shop.customer()
    sums = await shop.aggregator(operation="sum", property="n")
    fee = await shop.product([{"type": "fee", "amount": 900}], kind="flat_fee", name="=Base")
    await shop.subscription(cus, fee, (await shop.product(TIERS, aggregator_id=sums["id"]), {"min_amount": 4}))
    for number, text in enumerate(["=1+1", "+1", "-1", "@A1", "\tx\r\n"]):
        more = {"odd": number} if number else {"odd": "x"}
        await shop.use(cus["id"], f"2026-03-10T10:00:0{number}Z", note=text, n=[-2, 1, 1, 1, 1][number], **more)
    (found,) = await shop.invoices()
    return found


async def downloaded(shop, invoice, query):
    url = f"/v1/invoices/{invoice['id']}/events?{query}"
    async with shop.api.client.get(url, headers={"Authorization": f"Bearer {shop.api.key}"}) as answer:
        return answer.status, answer.headers, await answer.read()


async def table(shop, invoice, query="format=csv"):
    status, headers, body = await downloaded(shop, invoice, query)
    assert (status, headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    return list(csv.DictReader(io.StringIO(body.decode(), newline="")))


async def test_a_csv_adds_up_to_the_invoice(shop, invoice, monkeypatch):
    """In both columns, whatever the parts that it is read in."""
    monkeypatch.setattr(ordered, "PAGE", 2)
    rows = await table(shop, invoice)
    assert len([row for row in rows if row["owed_for"] == "event"]) == 5
    for column in ("amount", "exact_amount"):
        assert sum(Decimal(row[column]) for row in rows) == invoice["total_amount"]
    assert {row["owed_for"] for row in rows} == {"event", "not_metered", "minimum", "rounding"}


async def test_no_cell_of_a_csv_is_a_formula(shop, invoice):
    """Text that looks like one is marked as text; a number below 0 is one."""
    rows = await table(shop, invoice)
    events = [row for row in rows if row["owed_for"] == "event"]
    assert [row["record.note"] for row in events] == ["'=1+1", "'+1", "'-1", "'@A1", "'\tx\r\n"]
    assert [row["record.n"] for row in events] == ["-2", "1", "1", "1", "1"]
    assert next(row for row in rows if row["owed_for"] == "not_metered")["product_name"] == "'=Base"


async def test_a_parquet_file_holds_decimals(shop, invoice, monkeypatch):
    """Exact ones; instants in UTC; a property of several kinds is text."""
    monkeypatch.setattr(ordered, "PAGE", 2)
    status, headers, body = await downloaded(shop, invoice, "format=parquet")
    assert (status, headers["Content-Type"]) == (200, "application/vnd.apache.parquet")
    found = pq.read_table(io.BytesIO(body))
    number = pa.decimal128(38, 18)
    kinds = {name: found.schema.field(name).type for name in ("exact_amount", "quantity", "record.n")}
    assert kinds == dict.fromkeys(kinds, number)
    assert found.schema.field("timestamp").type == pa.timestamp("us", tz="UTC")
    assert found.schema.field("record.odd").type == pa.string()
    rows = found.to_pylist()
    assert sum(row["amount"] for row in rows) == sum(row["exact_amount"] for row in rows) == invoice["total_amount"]
    assert [row["record.note"] for row in rows if row["owed_for"] == "event"][:2] == ["=1+1", "+1"]
    assert pq.ParquetFile(io.BytesIO(body)).num_row_groups > 3


async def test_columns_are_chosen(shop, invoice):
    """By name, in that order; one that there cannot be is refused, and so is a format."""
    rows = await table(shop, invoice, "format=csv&columns=record.n,%20amount,record.none")
    assert list(rows[0]) == ["record.n", "amount", "record.none"]
    for query, path in (("format=csv&columns=secret", "columns"), ("format=xlsx", "format")):
        status, _, body = await downloaded(shop, invoice, query)
        assert (status, path in body.decode()) == (400, True)


async def test_what_an_aggregator_exposes_is_what_is_exported(shop):
    """In the order of `exposed_event_keys`."""
    cus = await shop.customer()
    aggregator = await shop.aggregator(exposed_event_keys=["b", "a"])
    await shop.subscription(cus, await shop.product(aggregator_id=aggregator["id"]))
    await shop.use(cus["id"], "2026-03-10T10:00:00Z", a=True, b=[1, "x"], c=1)
    (invoice,) = await shop.invoices()
    (row,) = await table(shop, invoice)
    assert [(name, row[name]) for name in row if name.startswith("record.")] == [
        ("record.b", '[1,"x"]'),
        ("record.a", "true"),
    ]


async def test_only_so_many_files_are_written_at_once(shop, invoice, monkeypatch):
    """Who comes when there is no room is told to come again; pages are read all the same."""
    monkeypatch.setattr(exported, "FILES_MAX", 0)
    status, headers, _ = await downloaded(shop, invoice, "format=csv")
    assert (status, "Retry-After" in headers) == (503, True)
    assert (await downloaded(shop, invoice, "take=1"))[0] == 200
