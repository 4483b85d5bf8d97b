"""What the documented integrations send, request by request: it is taken as it comes."""

import json

import pytest

from metering.timestamps import parse_event_timestamp

PATHS = {"/v1/events": 201, "/v2/events": 202}


class SegmentFunction:
    """The `onTrack` function of the documentation, which posts one event of a Track call.

    `JSON.stringify` leaves out what is undefined and writes null as null. It throws RetryError, so that Segment sends
    again, for 5xx, for 429 and for an answer that is no JSON; anything else is the end of it.
    """

    def __init__(self, gateway, path, api_key="test_ingest"):
        self.gateway = gateway
        self.path = path
        self.api_key = api_key

    async def on_track(self, event):
        sent = {
            "customer_id": event.get("userId", ...),
            "event_type": event.get("event", ...),
            "timestamp": event.get("timestamp", ...),
            "record": {
                "id": event.get("messageId", ...),
                "my_property": event["properties"].get("customProperty", ...),
            },
        }
        record = {name: value for name, value in sent.pop("record").items() if value is not ...}
        sent = {name: value for name, value in sent.items() if value is not ...} | {"record": record}
        async with self.gateway.session.post(
            self.gateway.url + self.path,
            headers={"Authorization": f"Bearer {self.api_key}", "Content-Type": "application/json"},
            data=json.dumps(sent, separators=(",", ":"), ensure_ascii=False).encode(),
        ) as response:
            text = await response.read()
            assert response.status < 500, "RetryError"
            assert response.status != 429, "RetryError"
            return response.status, json.loads(text)


def a_track_call(**changes):
    """A Track call as Segment hands it to a function."""
    call = {
        "type": "track",
        "userId": "user-7",
        "event": "Order Completed",
        "messageId": "ajs-next-1700000000000-1b2c3d4e",
        "timestamp": "2024-01-15T10:30:00.000Z",
        "properties": {"customProperty": "Größe 42 ✓", "revenue": 39.95},
    } | changes
    return {name: value for name, value in call.items() if value is not ...}


HIGHTOUCH_TEMPLATE = """{
"customer_id": "{{ row.customerId }}",
"event_type": "{{ row.eventType }}",
"timestamp": "{{ row.timestamp }}",
"record": {
"id": "{{ row.eventId }}",
"my_property": "{{ row.customProperty }}"
}
}"""


async def sync_row(gateway, path, row, headers=None):
    """Render the template of the documentation for a row and send it with the two headers it asks for.

    Liquid pastes texts in, so every value is a string, whatever the column's type.
    """
    body = HIGHTOUCH_TEMPLATE
    for name, value in row.items():
        body = body.replace(f"{{{{ row.{name} }}}}", value)
    sent = {"Authorization": "Bearer test_ingest", "Content-Type": "application/json", **(headers or {})}
    async with gateway.session.post(gateway.url + path, data=body.encode(), headers=sent) as response:
        return response.status, json.loads(await response.read())


def a_row(**changes):
    row = {
        "customerId": "4711",
        "eventType": "api_call",
        "timestamp": "2024-01-15T10:30:00.000Z",
        "eventId": "485",
        "customProperty": "12.50",
    }
    return row | changes


@pytest.mark.parametrize(("path", "status"), PATHS.items())
async def test_the_segment_function_delivers_a_track_call(gateway, path, status):
    """Taken, and answered with JSON: an empty body would be reported as failed and sent again for ever."""
    assert await SegmentFunction(gateway, path).on_track(a_track_call()) == (status, {})
    assert gateway.logged() == [
        {
            "customer_id": "user-7",
            "event_type": "Order Completed",
            "timestamp": "2024-01-15T10:30:00.000Z",
            "record": {"id": "ajs-next-1700000000000-1b2c3d4e", "my_property": "Größe 42 ✓"},
        }
    ]


async def test_a_track_call_without_the_custom_property_is_taken(gateway):
    """JSON.stringify leaves undefined out."""
    status, _ = await SegmentFunction(gateway, "/v1/events").on_track(a_track_call(properties={}))
    assert status == 201
    assert gateway.logged()[0]["record"] == {"id": "ajs-next-1700000000000-1b2c3d4e"}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("user", [None, ...])
async def test_a_track_call_of_nobody_is_refused_for_good(gateway, path, user):
    """An anonymous visitor has no userId: 400 names the field, as JSON, and Segment does not send it again."""
    answered, told = await SegmentFunction(gateway, path).on_track(a_track_call(userId=user))
    assert answered == 400
    assert told["errors"][0]["path"] == ["customer_id"]
    assert gateway.logged() == []


@pytest.mark.parametrize(("path", "status"), PATHS.items())
@pytest.mark.parametrize(
    "timestamp",
    ["2024-01-15T10:30:00.000Z", "2024-01-15T10:30:00Z", "2024-01-15 10:30:00", "2024-01-15T11:30:00.123456+01:00"],
)
async def test_a_hightouch_row_of_strings_is_taken(gateway, path, status, timestamp):
    """Every value is a string, the id and the quantity too; instants as warehouses write them."""
    assert await sync_row(gateway, path, a_row(timestamp=timestamp)) == (status, {})
    (event,) = gateway.logged()
    assert event["record"] == {"id": "485", "my_property": "12.50"}
    assert parse_event_timestamp(event["timestamp"]) // 1_000_000 == 1705314600


async def test_a_hightouch_row_without_an_id_says_which_field(gateway):
    """A column that is null is pasted as nothing."""
    status, told = await sync_row(gateway, "/v2/events", a_row(eventId=""))
    assert (status, told["errors"][0]["path"]) == (400, ["record", "id"])
    assert gateway.logged() == []
