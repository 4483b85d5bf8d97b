from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from metering.position import Position
from metering.retraction import Retraction
from metering.store.chains import ChainStore
from metering.store.keys import WHOLE
from metering.timestamps import microseconds

NOON = microseconds(datetime(2024, 3, 10, 12, tzinfo=UTC))


async def test_current_events_come_newest_first_with_all_their_digits(api, account, usage):
    """`record` is as it was sent but for the form of numbers; `customer_id` is as it was sent."""
    await usage.add(
        account,
        {"record_id": "1", "customer_id": "a", "timestamp_us": NOON, "properties": b'{"n":0.12345678901234567}'},
        {"record_id": "2", "customer_id": "b", "timestamp_us": NOON + 1_000, "properties": b"{}"},
    )
    answer = await api.get("/v1/events")
    assert '"record":{"id":"1","n":0.12345678901234567}' in answer.text
    newest, oldest = answer.json["data"]
    assert (newest["record_id"], newest["record"], newest["customer_id"]) == ("2", {"id": "2"}, "b")
    assert oldest["timestamp"] == "2024-03-10T12:00:00.000Z"
    assert oldest["id"].startswith("evt_")
    assert answer.json["meta"] == {"total": 2, "taken": 2, "skipped": 0}
    assert answer.headers["X-Usage-Cutoff"].startswith("c1-")


@pytest.fixture
async def four(api, account, usage):
    await api.post("/v1/customers", {"external_id": "acme", "name": "Acme"})
    ours = (await api.get("/v1/customers/acme")).json["id"]
    await usage.add(
        account,
        {"record_id": "a", "customer_id": "acme", "timestamp_us": NOON},
        {"record_id": "b", "customer_id": ours, "timestamp_us": NOON + 1_000_000},
        {"record_id": "c,d", "customer_id": "zeta", "timestamp_us": NOON + 2_000_000, "event_type": "other/type"},
        {"record_id": "e", "customer_id": "zeta", "timestamp_us": NOON + 3_000_000},
    )


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", ["e", "c,d", "b", "a"]),
        ("order=asc&sort=timestamp", ["a", "b", "c,d", "e"]),
        ("event_type=other/type", ["c,d"]),
        ("event_type=nothing", []),
        ("customer_id=acme", ["b", "a"]),
        ("customer_id=nobody", []),
        ("record_id=a,e", ["e", "a"]),
        ("record_id=c,d", ["c,d"]),
        ("record_id=a,%20e", ["e", "a"]),
        ("record_id__in=a,e", ["e", "a"]),
        ("record_id__equals=c,d", ["c,d"]),
        ("event_type__equals=other/type", ["c,d"]),
        ("event_type__in=other/type,nothing", ["c,d"]),
        ("event_type=other/type&event_type=nothing", []),
        ("customer_id__in=acme,zeta", ["e", "c,d", "b", "a"]),
        ("customer_id__equals=zeta", ["e", "c,d"]),
        ("timestamp__equals=2024-03-10T12:00:01Z", ["b"]),
        ("timestamp__gte=2024-03-10T12:00:01Z", ["e", "c,d", "b"]),
        ("timestamp__gt=2024-03-10T12:00:01Z", ["e", "c,d"]),
        ("timestamp__lte=2024-03-10T12:00:01Z", ["b", "a"]),
        ("timestamp__lt=2024-03-10T12:00:01Z&timestamp__lte=2030-01-01", ["a"]),
        ("timestamp__gte=0001-01-01", ["e", "c,d", "b", "a"]),
        ("timestamp__lt=9999-12-31T23:59:59-23:59", ["e", "c,d", "b", "a"]),
        ("timestamp__gt=9999-12-31T23:59:59-23:59", []),
        ("take=1&skip=1", ["c,d"]),
        ("take=0", []),
        ("skip=10", []),
        ("unheard_of=1", ["e", "c,d", "b", "a"]),
        ("as_of=1999-01-01", []),
    ],
)
@pytest.mark.usefixtures("four")
async def test_events_are_filtered_and_ordered(api, query, ids):
    """All filters hold at once; a customer's events are those under any of its ids."""
    answer = await api.get(f"/v1/events?{query}")
    assert answer.status == 200, answer.text
    assert [event["record_id"] for event in answer.json["data"]] == ids


@pytest.mark.parametrize(
    "query",
    [
        "order=up",
        "sort=name",
        "timestamp__gte=x",
        "timestamp__in=2024-03-10",
        "event_type__contains=c",
        "customer_id__not=acme",
        "record_id__gt=a",
        "take=1000",
        "as_of=x",
        "record_id=" + ",".join(map(str, range(1001))),
    ],
)
async def test_a_bad_filter_is_refused(api, query):
    """400 with the parameter."""
    refused = await api.get(f"/v1/events?{query}")
    assert (refused.status, refused.paths) == (400, [[query.partition("=")[0]]])


@pytest.mark.parametrize(
    ("event_type", "record_id"), [("call", "r1"), ("a/b", "c/d"), ("é {x}", "100% \"'\\+;?#"), ("%2F", "a,b")]
)
async def test_every_version_of_an_event_is_told_first_received_first(api, account, usage, event_type, record_id):
    """Which won over which, by number; any printable text names an event when it is encoded."""
    event = {"event_type": event_type, "record_id": record_id, "received_at_us": NOON}
    (first,) = await usage.add(account, {**event, "customer_id": "a"})
    later = {**event, "customer_id": "b", "timestamp_us": first.timestamp_us + 1, "received_at_us": NOON + 5_000}
    await usage.add(account, later, supersedes=first)
    path = f"/v1/events/{quote(event_type, safe='')}/{quote(record_id, safe='')}/versions"
    answer = await api.get(path)
    assert answer.status == 200
    one, two = answer.json["data"]
    assert (one["version"], one["customer_id"], one["current"], one["superseded_by"]) == (1, "a", False, 2)
    assert one["superseded_at"] == two["received_at"] == "2024-03-10T12:00:00.005Z"
    assert (two["version"], two["current"], two["superseded_by"], two["superseded_at"]) == (2, True, None, None)
    assert (one["deleted"], two["deleted"]) == (False, False)
    assert two["record"] == {"id": record_id, "amount": 1}
    assert answer.json["meta"] == {"total": 2, "taken": 2, "skipped": 0}
    assert [row["version"] for row in (await api.get(f"{path}?skip=1")).json["data"]] == [2]


async def test_a_deleted_event_keeps_its_versions(api, account, usage, store):
    """It is gone from the list, and its last version says that it was deleted."""
    (event,) = await usage.add(account, {"record_id": "gone"})
    at = Position(event.position + 8192)
    await ChainStore(store).retract(Retraction(account, record_ids=["gone"]), at, WHOLE)
    await usage.mark()
    assert (await api.get("/v1/events")).json["data"] == []
    (version,) = (await api.get("/v1/events/call/gone/versions")).json["data"]
    assert (version["deleted"], version["current"], version["superseded_by"]) == (True, False, None)
    assert version["superseded_at"] is not None


async def test_versions_of_an_unknown_event_are_not_found(api, account, usage):
    """404, also before anything was known of it."""
    await usage.add(account, {"record_id": "r"})
    assert (await api.get("/v1/events/call/nothing/versions")).status == 404
    assert (await api.get("/v1/events/call/r/versions?as_of=1999-01-01")).status == 404
    assert (await api.get("/v1/events/call/r/versions")).status == 200
