"""Hold the product against the ledger, all at one cut-off: events, figures of all customers and months, versions."""

from collections import defaultdict
from datetime import datetime
from fractions import Fraction
from urllib.parse import quote, urlencode

from tests.pipeline.plain_model import moment
from tests.torture.events import CORRECTED, MONTHS, SHARED_CUSTOMERS, STEADY, STEADY_CUSTOMER
from tests.torture.observer import CUTOFF, WHOLE, month_range

PAGE = 100


class Check:
    """One comparison. `figures` counts what was compared."""

    def __init__(self, client, ledger, aggregators):
        self._client = client
        self._ledger = ledger
        self._aggregators = aggregators
        self._as_of = {}
        self.figures = 0
        self.settled_late = 0
        """Keys whose current version came to be by an attempt that nobody had heard of."""

    async def run(self, chance, *, events_max, versions_max):
        """Compare all figures, and as many events and version lists as the limits say, those in doubt always."""
        client, ledger = self._client, self._ledger
        await client.until_applied()
        lag, _ = await client.get("/v1/ingest/lag")
        assert (lag["lag_events"], lag["oldest_unapplied_age_ms"]) == (0, 0), lag
        _, headers = await client.get("/v1/events?take=0")
        self._as_of = {"as_of": headers[CUTOFF]}
        names = [name for name in ledger.histories if name[0] == CORRECTED]
        doubtful = {name for name in ledger.uncertain() if name[0] == CORRECTED}
        others = [name for name in names if name not in doubtful]
        chosen = [*doubtful, *chance.sample(others, min(len(others), events_max))]
        current = dict(ledger.model.current)
        await self._events(chosen, current)
        await self._figures(current, chance)
        corrected = [name for name in names if len(ledger.histories[name]) > 1]
        for name in chance.sample(corrected, min(len(corrected), versions_max)):
            await self._versions(name, current)

    async def _events(self, names, current):
        """Each key's current event is one that the promise allows; what was in doubt is settled by it in `current`."""
        for begin in range(0, len(names), PAGE):
            page = names[begin : begin + PAGE]
            ids = ",".join(key for _, key in page)
            asked = {"event_type": CORRECTED, "record_id": ids, "take": PAGE, **self._as_of}
            answer, _ = await self._client.get(f"/v1/events?{urlencode(asked)}")
            found = {row["record_id"]: _shown(row) for row in answer["data"]}
            assert len(found) == answer["meta"]["total"], "a key is there twice"
            for name in page:
                outcomes = {None if event is None else _sent(event): event for event in self._ledger.outcomes(name)}
                shown = found.get(name[1])
                assert shown in outcomes, (name, shown, self._ledger.histories[name])
                self._settle(name, outcomes[shown], current)
                self.figures += 1

    def _settle(self, name, event, current):
        if event is None:
            self.settled_late += current.pop(name, None) is not None
        else:
            before = current.get(name)
            self.settled_late += before is None or before[2] != event.plain
            current[name] = (moment(event.timestamp), 0, event.plain)

    async def _figures(self, current, chance):
        """Count and sum of each customer in each month and in all, nothing beside them; some asked one by one too."""
        wanted = defaultdict(lambda: [0, Fraction(0)])
        for (event_type, _), (when, _, event) in current.items():
            for month in (when.month, None):
                figure = wanted[event_type, event["customer_id"], month]
                figure[0] += 1
                figure[1] += event["record"]["amount"]
        for month in (*MONTHS, None):
            within = WHOLE if month is None else month_range(month)
            await self._all_customers(within, {key[:2]: value for key, value in wanted.items() if key[2] == month})
            for customer in (*chance.sample(SHARED_CUSTOMERS, 2), STEADY_CUSTOMER):
                found = await self._usage(customer, within)
                count, amount = wanted[CORRECTED, customer, month]
                beats, _ = wanted[STEADY, customer, month]
                assert found == (count, amount, beats), (customer, month, found, count, amount, beats)
                self.figures += 3
        for event_type in (CORRECTED, STEADY):
            asked = {"event_type": event_type, "take": 0, **self._as_of}
            total = (await self._client.get(f"/v1/events?{urlencode(asked)}"))[0]["meta"]["total"]
            assert total == sum(name[0] == event_type for name in current), event_type
            self.figures += 1

    async def _all_customers(self, within, wanted):
        """The ranking of an aggregator names each customer with its figure, and no other with any."""
        for event_type, name in ((CORRECTED, "sum"), (STEADY, "heartbeats")):
            asked = urlencode(within | self._as_of | {"take": PAGE})
            path = f"/v1/aggregators/{self._aggregators[name]}/usage/group-by-customer?{asked}"
            rows, total = [], None
            while total is None or len(rows) < total:
                answer, _ = await self._client.get(f"{path}&skip={len(rows)}")
                total = answer["meta"]["total"]
                rows += answer["data"]
                assert answer["data"] or len(rows) == total, path
            found = {row["external_id"]: (row["count"], Fraction(row["total"])) for row in rows if row["count"]}
            assert found == {
                customer: (count, amount) for (kind, customer), (count, amount) in wanted.items() if kind == event_type
            }, (name, within)
            self.figures += len(found)

    async def _usage(self, customer, within):
        asked = urlencode(within | self._as_of)
        status, rows, _, _ = await self._client.until_answered("GET", f"/v1/customers/{quote(customer)}/usage?{asked}")
        if status == 404:
            return 0, 0, 0  # Nobody ever sent anything of this customer, or the figure wanted says so.
        assert status == 200, (customer, status, rows)
        totals = {row["aggregator_id"]: row for row in rows}
        count, amount, beats = (totals[self._aggregators[name]] for name in ("count", "sum", "heartbeats"))
        assert count["total"] == count["count"] == amount["count"]
        return count["total"], Fraction(amount["total"]), beats["total"]

    async def _versions(self, name, current):
        """Every version that was sent is kept and nothing else; in their order, where that is known."""
        path = f"/v1/events/{name[0]}/{quote(name[1])}/versions?take={PAGE}&{urlencode(self._as_of)}"
        answer, _ = await self._client.get(path)
        rows = answer["data"]
        if answer["meta"]["total"] > PAGE:
            return
        assert {_shown(row) for row in rows} == {_sent(event) for event in self._ledger.told(name)}, name
        standing = [_shown(row)[:3] for row in rows if row["current"]]
        wanted = [(event["customer_id"], *_parts(event)) for _, _, event in [current[name]]] if name in current else []
        assert standing == wanted, (name, standing, wanted)
        chain = self._ledger.chain(name)
        if chain is not None:
            found = [(_shown(row), row["superseded_by"], row["deleted"]) for row in rows]
            assert found == [(_sent(event), winner, deleted) for event, winner, deleted in chain], name
        self.figures += len(rows)


def _parts(plain):
    return _milliseconds(plain["timestamp"]), plain["record"]["amount"]


def _sent(event):
    return event.customer, *_parts(event.plain), event.as_text


def _shown(row):
    record = row["record"]
    return (
        row["customer_id"],
        _milliseconds(row["timestamp"]),
        Fraction(record["amount"]),
        isinstance(record["id"], str),
    )


def _milliseconds(timestamp):
    """What is shown of a timestamp."""
    return datetime.fromisoformat(timestamp).replace(tzinfo=None).isoformat(timespec="milliseconds")
