"""Clients that send new events, duplicates and corrections without end, and the comparison with the plain model."""

import itertools
import random

SENDERS = 4
CUSTOMERS = [f"customer-{number}" for number in range(12)]
RANGE = "start_date=2024-01-01&end_date=2024-07-01"


def a_version(chance, number, serial):
    """One version of a key. No two versions share a timestamp, so the winner does not depend on the order in which
    concurrent senders are heard; customer, month and amount move."""
    month, day, second = chance.randrange(1, 6), chance.randrange(1, 29), chance.randrange(60)
    return {
        "customer_id": chance.choice(CUSTOMERS),
        "timestamp": f"2024-{month:02}-{day:02}T00:00:{second:02}.{serial % 1_000_000:06}Z",
        "event_type": "call",
        "record": {"id": f"k-{number}", "amount": chance.randrange(1, 1000)},
    }


async def keep_sending(client, sender, model, stop):
    """Send batches of new events, duplicates and corrections until told to stop; the model hears what is sent."""
    chance = random.Random(sender)
    sent, number, serials = [], sender, itertools.count(sender, SENDERS)
    while not stop.is_set():
        batch = []
        for _ in range(chance.randrange(1, 120)):
            draw = chance.random()
            if sent and draw < 0.2:
                batch.append(chance.choice(sent))
            elif sent and draw < 0.4:
                key = int(chance.choice(sent)["record"]["id"][2:])
                batch.append(a_version(chance, key, next(serials)))
            else:
                batch.append(a_version(chance, number, next(serials)))
                number += SENDERS
        answer = await client.send(batch)
        assert answer["events_failed"] == []
        for event in batch:
            model.receive(event)
        sent.extend(batch)


async def check(client, model, aggregators):
    """Each customer's events and amount equal the model's, and so do all events listed."""
    await client.until_applied()
    for customer in CUSTOMERS:
        expected = model.usage(customer)
        rows = {row["aggregator_id"]: row for row in await client.get(f"/v1/customers/{customer}/usage?{RANGE}")}
        found = (rows[aggregators[0]]["total"], rows[aggregators[1]]["total"])
        assert found == (expected["events"], expected["amount"]), customer
    assert (await client.get("/v1/events?take=1"))["meta"]["total"] == len(model.current)
