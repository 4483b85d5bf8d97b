"""The real trace, through the front door: exact usage, exact invoices, exact corrections, exact as-of figures."""

import random
from datetime import datetime
from fractions import Fraction

import pytest

from deploy.trace import in_batches, read_trace
from tests.pipeline.plain_model import PlainModel, graduated, half_away
from tests.pipeline.product import Client

pytestmark = pytest.mark.slow

NOVEMBER = (datetime(2023, 11, 1), datetime(2023, 12, 1))  # noqa: DTZ001
DECEMBER = (datetime(2023, 12, 1), datetime(2024, 1, 1))  # noqa: DTZ001
MILLION = 1_000_000
CONTEXT_TIERS = [(10 * MILLION, "250", MILLION), (None, "199.5", MILLION)]
PACKAGES = (5000, 37)
AGGREGATORS = {"requests": None, "context": "context_tokens", "generated": "generated_tokens"}


async def set_up(client):
    """Customers, aggregators, three priced products and a fee, and a subscription each from 1 November."""
    for customer in ("conv", "code"):
        await client.call("POST", "/v1/customers", {"external_id": customer, "name": customer, "currency": "EUR"})
    ids = {}
    for name, property_name in AGGREGATORS.items():
        operation = {"operation": "count"} if property_name is None else {"operation": "sum", "property": property_name}
        body = {"name": name, "entity": "llm_request", "unit_name": "unit", **operation}
        ids[name] = (await client.call("POST", "/v1/aggregators", body))["id"]
    prices = {
        "requests": [{"type": "bulk", "to": 10_000, "amount": 0.5}, {"type": "bulk", "to": None, "amount": 0.3}],
        "context": [
            {"type": "volume", "from": 0, "to": 10 * MILLION, "amount": 250, "unit_count": MILLION},
            {"type": "volume", "from": 10 * MILLION, "to": None, "amount": 199.5, "unit_count": MILLION},
        ],
        "generated": [
            {
                "type": "packaged",
                "from": 0,
                "to": None,
                "amount": PACKAGES[1],
                "unit_count": PACKAGES[0],
                "on_bucket_incomplete": "pay_in_full",
            }
        ],
    }
    products = []
    for name, rows in prices.items():
        body = {
            "name": name,
            "type": "dynamic",
            "aggregator_id": ids[name],
            "price_configurations": [{"currency": "EUR", "prices": rows}],
        }
        products.append((await client.call("POST", "/v1/products", body))["id"])
    fee = {
        "name": "fee",
        "type": "flat_fee",
        "price_configurations": [{"currency": "EUR", "prices": [{"type": "fee", "amount": 4900}]}],
    }
    products.append((await client.call("POST", "/v1/products", fee))["id"])
    for customer in ("conv", "code"):
        body = {
            "customer_id": customer,
            "currency": "EUR",
            "starts_at": "2023-11-01T00:00:00Z",
            "activation_strategy": "start_date",
            "products": [{"id": item, "payment_interval": {"period": "months", "count": 1}} for item in products],
        }
        await client.call("POST", "/v2/subscriptions", body)


def expected_lines(usage):
    """What each line of a month's invoice must read: (units, amount)."""
    requests, context, generated = usage["events"], usage["context_tokens"], usage["generated_tokens"]
    rate = Fraction("0.5") if requests <= 10_000 else Fraction("0.3")
    packages = -(-generated // PACKAGES[0])
    return {
        "requests": (requests, half_away(requests * rate)),
        "context": (context, half_away(graduated(context, CONTEXT_TIERS))),
        "generated": (generated, packages * PACKAGES[1]),
        "fee": (1, 4900),
    }


async def check(client, model, as_of=None):
    """Usage and open invoices of both months equal the model's."""
    suffix = f"&as_of={as_of}" if as_of else ""
    for customer in ("conv", "code"):
        for start, end in (NOVEMBER, DECEMBER):
            expected = model.usage(customer, start, end)
            period = f"start_date={start:%Y-%m-%d}&end_date={end:%Y-%m-%d}"
            rows = await client.get(f"/v1/customers/{customer}/usage?{period}{suffix}")
            found = {row["name"]: (row["total"], row["count"]) for row in rows}
            events = expected["events"]
            assert found == {
                "requests": (events, events),
                "context": (expected["context_tokens"], events),
                "generated": (expected["generated_tokens"], events),
            }
            invoices = await client.get(
                f"/v1/invoices?status=open&customer_id={customer}{suffix}"
                f"&period_starts_at__gte={start:%Y-%m-%d}T00:00:00Z&period_starts_at__lt={end:%Y-%m-%d}T00:00:00Z"
            )
            (invoice,) = invoices["data"]
            lines = {line["name"]: (line["units_count"], line["amount"]) for line in invoice["line_items"]}
            assert lines == expected_lines(expected)
            assert invoice["total_amount"] == sum(amount for _, amount in lines.values())
            assert invoice["currency"] == "EUR"
            for line in invoice["line_items"]:
                assert sum(tier["amount"] for tier in line["tiers"]) == line["amount"]


def correction(event, number, chance):
    """Other tokens; of every three, one goes to the other customer and one to the other month."""
    tokens = {"context_tokens": chance.randrange(1, 9000), "generated_tokens": chance.randrange(1, 900)}
    customer = {"conv": "code", "code": "conv"}[event["customer_id"]] if number % 3 == 1 else event["customer_id"]
    timestamp = event["timestamp"].replace("2023-11-16", "2023-12-16") if number % 3 == 2 else event["timestamp"]
    record = {"id": event["record"]["id"], **tokens}
    return {**event, "customer_id": customer, "timestamp": timestamp, "record": record}


async def test_the_trace_is_counted_priced_and_corrected_exactly(product, trace_dir):
    """28,185 events, some sent twice, all in a wrong order, then 100 corrections: every figure equals the model's."""
    chance = random.Random(20231116)
    events = list(read_trace(trace_dir))
    sent = events + chance.sample(events, 4000)
    chance.shuffle(sent)
    model = PlainModel()
    async with Client(product) as client:
        await set_up(client)
        for event in sent[:50]:
            model.receive(event)
            await client.call("POST", "/v1/events", event)
        for at in range(50, len(sent), 3000):
            batch = sent[at : at + 3000]
            for event in batch:
                model.receive(event)
            assert (await client.send(batch))["events_failed"] == []
        await client.until_applied()

        conv, code = (model.usage(customer, *NOVEMBER) for customer in ("conv", "code"))
        assert conv == {"events": 19_366, "context_tokens": 22_361_870, "generated_tokens": 4_088_665}
        assert code == {"events": 8_819, "context_tokens": 18_059_974, "generated_tokens": 245_896}
        await check(client, model)

        await client.get("/v1/customers/conv/usage?start_date=2023-11-01&end_date=2023-12-01")
        before = client.answer_headers["X-Usage-Cutoff"]
        as_it_stood = PlainModel()
        as_it_stood.current = dict(model.current)

        corrections = [correction(event, n, chance) for n, event in enumerate(chance.sample(events, 100))]
        for event in corrections:
            model.receive(event)
        assert (await client.send(corrections))["events_failed"] == []
        await client.until_applied()

        await check(client, model)
        await check(client, as_it_stood, as_of=before)
        assert model.current != as_it_stood.current


async def test_a_csv_file_of_the_trace_is_imported_with_faults_told_by_line(product, trace_dir, tmp_path):
    """`meterline import` sends the good lines, names the bad ones by number and reason, and ends with 1."""
    events = list(read_trace(trace_dir))[:5000]
    lines = ["timestamp,event_type,customer_id,record/id,record/context_tokens,record/note"]
    for event in events:
        record = event["record"]
        note = '"a ""quoted"", noted' + "\nline" + '"' if record["id"] == "conv-7" else ""
        fields = (event["timestamp"], "csv_request", event["customer_id"], record["id"], record["context_tokens"], note)
        lines.append(",".join(map(str, fields)))
    lines.insert(3, "yesterday,csv_request,conv,bad-1,1,")
    file = tmp_path / "events.csv"
    file.write_text("\n".join(lines) + "\n")
    result = product.command("import", str(file), "--key", product.key, "--url", product.url)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "line 4" in result.stdout
    assert "yesterday" in result.stdout
    async with Client(product) as client:
        await client.until_applied()
        listed = await client.get("/v1/events?event_type=csv_request&take=1")
        assert listed["meta"]["total"] == len(events)
        found = await client.get("/v1/events?event_type=csv_request&record_id=conv-7")
        assert found["data"][0]["record"]["note"] == 'a "quoted", noted\nline'


def test_batches_cover_every_event_once():
    """Encoding for batch requests neither drops nor repeats."""
    counts = [count for count, _ in in_batches(iter({"n": n} for n in range(25)), 10)]
    assert counts == [10, 10, 5]
