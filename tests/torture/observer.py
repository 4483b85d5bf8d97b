"""Who looks at figures while everything dies: none may ever show half a batch, and none may change afterwards."""

import asyncio
import random
from datetime import datetime
from fractions import Fraction
from urllib.parse import urlencode

from tests.torture.events import CORRECTED, MONTHS, SHARED_CUSTOMERS, STEADY_CUSTOMER
from tests.torture.stubborn import Stubborn

CUTOFF = "X-Usage-Cutoff"
PAUSE_S_MAX = 2.0
REMEMBERED_MAX = 400
WHOLE = {"start_date": "2024-01-01", "end_date": f"2024-{MONTHS.stop:02}-01"}


def month_range(month):
    return {"start_date": f"2024-{month:02}-01", "end_date": f"2024-{month + 1:02}-01"}


class Observer:
    """Reads figures at cut-offs of its own, and keeps some to be read again."""

    def __init__(self, seed, aggregators, steady):
        self._chance = random.Random(f"{seed} observer")
        self._aggregators = aggregators
        self._steady = steady
        self._remembered = []
        self.figures = 0

    async def run(self, url, key, stop):
        """Look until told to stop."""
        async with Stubborn(url, key) as client:
            while not stop.is_set():
                await self._steady_figure(client)
                await self._whole(client)
                await self._remember(client)
                await asyncio.sleep(self._chance.uniform(0, PAUSE_S_MAX))

    async def recheck(self, client, count):
        """Read some figures again as they stood: all digits must be the same."""
        for path, before in self._chance.sample(self._remembered, min(count, len(self._remembered))):
            again, _ = await client.get(path)
            assert again == before, path
            self.figures += 1

    async def _steady_figure(self, client):
        """What was acknowledged by `applied_until` is counted; what was never sent is not."""
        lag, _ = await client.get("/v1/ingest/lag")
        until = datetime.fromisoformat(lag["applied_until"]).timestamp()
        least = sum(at < until for at in self._steady.acknowledged_at)
        path = f"/v1/aggregators/{self._aggregators['heartbeats']}/usage/group-by-customer?{urlencode(WHOLE)}"
        rows, _ = await client.get(path)
        count = sum(row["count"] for row in rows["data"] if row["external_id"] == STEADY_CUSTOMER)
        assert least <= count <= self._steady.sent, (lag, least, count, self._steady.sent)
        self.figures += 1

    async def _whole(self, client):
        """At one cut-off the events listed, those of all customers and those of all months are the same ones."""
        aggregator = self._aggregators["sum"]
        path = f"/v1/aggregators/{aggregator}/usage/group-by-customer?take=100&{urlencode(WHOLE)}"
        grouped, headers = await client.get(path)
        at = urlencode({"as_of": headers[CUTOFF]})
        taken = grouped["meta"]["taken"]
        while taken < grouped["meta"]["total"]:
            more, _ = await client.get(f"{path}&skip={taken}&{at}")
            grouped["data"] += more["data"]
            taken += more["meta"]["taken"]
        listed, _ = await client.get(f"/v1/events?event_type={CORRECTED}&take=1&{at}")
        series = f"/v1/aggregators/{aggregator}/usage/timeseries?granularity=month&{urlencode(WHOLE)}&{at}"
        months, _ = await client.get(series)
        count = sum(row["count"] for row in grouped["data"])
        assert count == listed["meta"]["total"] == sum(month["count"] for month in months), headers[CUTOFF]
        amounts = [sum(Fraction(row["total"]) for row in rows) for rows in (grouped["data"], months)]
        assert amounts[0] == amounts[1], headers[CUTOFF]
        self.figures += 1

    async def _remember(self, client):
        """Keep one customer's figures of one month under the cut-off that the answer names."""
        if len(self._remembered) == REMEMBERED_MAX:
            return
        parts = month_range(self._chance.choice(MONTHS))
        customer = self._chance.choice(SHARED_CUSTOMERS)
        status, rows, headers, _ = await client.until_answered(
            "GET", f"/v1/customers/{customer}/usage?{urlencode(parts)}"
        )
        if status == 404:
            return  # Nothing of this customer was counted yet.
        assert status == 200, (customer, status, rows)
        path = f"/v1/customers/{customer}/usage?{urlencode(parts | {'as_of': headers[CUTOFF]})}"
        self._remembered.append((path, rows))
        self.figures += 1
