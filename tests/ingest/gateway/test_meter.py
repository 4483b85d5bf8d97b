from pathlib import Path

from ingest.gateway.meter import CELLS, CODES, Meter
from ingest.rules import __file__ as rules_file
from metering.metrics import Tallies, read_tallies
from tests.ingest.events import an_event


async def test_what_was_taken_rejected_and_refused_is_counted(start, tmp_path):
    """Events by what became of them, requests by status, and each request's duration under its class."""
    with Tallies(tmp_path / "gateway", CELLS) as tallies:
        gateway = await start(meter=Meter(tallies))
        await gateway.send("/v1/events", an_event())
        await gateway.send("/v1/events", an_event(customer_id=...))
        await gateway.send("/v1/events/batch", [an_event(), an_event(timestamp="soon"), an_event(record={"id": "r2"})])
        await gateway.send("/v1/events", an_event(), Authorization="Bearer nobody")
        await gateway.send("/v1/events", {"matching": "all"}, method="DELETE")
        await gateway.send("/v1/customers", None, method="GET")
        await gateway.send("/v1/customers", {})
        await gateway.send("/events", None, method="GET")
    found = read_tallies(tmp_path, CELLS)
    assert {cell: count for cell, count in found.items() if count and "seconds" not in cell} == {
        "meterline_events_accepted_total": 3,
        'meterline_events_rejected_total{code="required"}': 1,
        'meterline_events_rejected_total{code="invalid_timestamp"}': 1,
        'meterline_requests_refused_total{status="400"}': 1,
        'meterline_requests_refused_total{status="401"}': 1,
    }
    by_class = {
        name: sum(count for cell, count in found.items() if f'_bucket{{class="{name}"' in cell)
        for name in ("event", "batch", "retract", "read", "write", "page")
    }
    assert by_class == {"event": 3, "batch": 1, "retract": 1, "read": 1, "write": 1, "page": 1}


def test_every_code_of_the_rules_has_a_series():
    """A code that is new is counted under its own name only if it is listed."""
    text = Path(rules_file).read_text(encoding="utf-8")
    named = {part.partition('"')[0] for part in text.split('Fault("')[1:]}
    assert named
    assert named <= set(CODES)
