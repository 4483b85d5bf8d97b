import gzip
import json
import sys

import pytest

from ingest.errors import LogOverloadedError, LogUnavailableError
from ingest.rules import EVENT_BYTES_MAX
from ingest.wire import Kind
from metering.event_id import event_id
from metering.http.reading import BODY_BYTES_MAX
from tests.ingest.events import an_event, as_json, with_properties, with_value
from tests.ingest.gateway.running import WORLD, FailingLog

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MINIMAL = {"Prefer": "return=minimal"}


async def test_an_event_is_answered_201_and_an_empty_object(gateway):
    """201 {} once the log has the event, in the world of the key, as it was sent."""
    status, body, headers = await gateway.send("/v1/events", an_event())
    assert (status, body) == (201, {})
    assert headers["Content-Type"] == "application/json"
    (section,) = gateway.sections()
    assert (section.world, section.kind, section.events) == (WORLD, Kind.EVENTS, 1)
    assert section.body == b"[" + as_json(an_event()) + b"]"


async def test_v2_answers_202_and_an_empty_object(gateway):
    """202 {} means the same as 201 {}: the log has the event."""
    status, body, headers = await gateway.send("/v2/events", an_event())
    assert (status, body) == (202, {})
    assert headers["Content-Type"] == "application/json"
    status, body, _ = await gateway.send("/v2/events", an_event(), Connection="close")
    assert (status, body) == (202, {})
    assert gateway.logged() == [an_event(), an_event()]


async def test_v2_answers_a_batch_with_what_it_accepted(gateway):
    """202; the taken events are called accepted, those that failed come back as in v1."""
    batch = b"[%s,%s]" % (as_json(an_event()), as_json(an_event(timestamp="x")))
    status, told, _ = await gateway.send("/v2/events/batch", batch)
    assert (status, set(told)) == (202, {"events_accepted", "events_failed"})
    assert [event["record_id"] for event in told["events_accepted"]] == ["r1"]
    assert [(failed["index"], failed["error"]["path"]) for failed in told["events_failed"]] == [(1, ["timestamp"])]
    status, told, _ = await gateway.send("/v2/events/batch", batch, **MINIMAL)
    assert (status, told["events_accepted_count"], len(told["events_failed"])) == (202, 1, 1)
    assert len(gateway.logged()) == 2


async def test_v2_refuses_what_v1_refuses(gateway):
    """A bad event, an empty batch, a key without the scope: the same answers, and nothing in the log."""
    for path, body, key, expected in (
        ("/v2/events", an_event(customer_id=...), "test_ingest", 400),
        ("/v2/events/batch", [], "test_ingest", 400),
        ("/v2/events", an_event(), "test_read", 403),
        ("/v2/events/batch", [an_event()], "nobody", 401),
    ):
        status, _, _ = await gateway.send(path, body, Authorization=f"Bearer {key}")
        assert status == expected
    assert gateway.logged() == []


async def test_a_query_does_not_change_where_an_event_goes(gateway):
    """with_price_calculation is a documented parameter."""
    status, _, _ = await gateway.send("/v1/events?with_price_calculation=true", an_event())
    assert status == 201
    assert len(gateway.logged()) == 1


async def test_a_batch_comes_back_in_full(gateway):
    """events_created tells each event in its outward form, numbers and instants plain."""
    body = (
        b'[{"customer_id":"c","event_type":"t","timestamp":"2024-01-15 11:30:00.1239+01:00","note":1,'
        b'"record":{"id":4850e-1,"price":1.50,"big":12345678901234567890,"zero":-0.0,"tags":[1e2,"x",null]}}]'
    )
    status, told, _ = await gateway.send("/v1/events/batch", body)
    assert status == 201
    assert told == {
        "events_created": [
            {
                "id": event_id(WORLD, "t", "485"),
                "event_type": "t",
                "timestamp": "2024-01-15T10:30:00.123Z",
                "customer_id": "c",
                "record_id": "485",
                "record": {"id": 485, "price": 1.5, "big": 12345678901234567890, "zero": 0, "tags": [100, "x", None]},
            }
        ],
        "events_failed": [],
    }
    assert gateway.sections()[0].body == body


async def test_a_bad_event_does_not_stop_the_others(gateway):
    """The good ones are stored in order; the bad one comes back as sent, with its index and the fault."""
    bad = with_value("1.0e400")
    status, told, _ = await gateway.send(
        "/v1/events/batch", b"[%s,%s,%s]" % (as_json(an_event()), bad, with_value("2"))
    )
    assert status == 201
    assert len(told["events_created"]) == 2
    (failed,) = told["events_failed"]
    error = failed.pop("error")
    assert (error["code"], error["path"]) == ("number_out_of_range", ["record", "x"])
    assert "1.0e400" in error["message"]
    assert failed == {"index": 1} | json.loads(bad)
    assert gateway.logged() == [an_event(), json.loads(with_value("2"))]


async def test_a_failed_event_is_echoed_byte_for_byte(gateway):
    """Digits that no float holds come back; what is no object comes back too."""
    bad = b'{"customer_id": "c", "x": 1.000000000000000000000000000001, "index": 9}'
    async with gateway.session.post(
        gateway.url + "/v1/events/batch",
        data=b"[%s,17]" % bad,
        headers={"Authorization": "Bearer test_ingest", "Content-Type": "application/json"},
    ) as answer:
        text = await answer.read()
    assert answer.status == 201
    assert b'"x":1.000000000000000000000000000001' in text
    failed = json.loads(text)["events_failed"]
    assert [one["index"] for one in failed] == [0, 1]
    assert failed[1]["event"] == 17
    assert gateway.sections() == []


async def test_the_minimal_answer_tells_counts_and_faults(gateway):
    """Prefer: return=minimal is honoured, and said to be."""
    events = [an_event(), an_event(customer_id=...), an_event()]
    status, told, headers = await gateway.send("/v1/events/batch", events, **MINIMAL)
    assert status == 201
    assert headers["Preference-Applied"] == "return=minimal"
    assert told["events_created_count"] == 2
    assert told["events_failed"] == [
        {
            "index": 1,
            "error": {
                "code": "required",
                "path": ["customer_id"],
                "message": "customer_id is missing: send the customer's id, ours or yours, as a string",
            },
        }
    ]


@pytest.mark.parametrize("prefer", ["respond-async, return=minimal", 'RETURN="minimal"; foo', "return = minimal"])
async def test_the_preference_is_read_as_the_standard_writes_it(gateway, prefer):
    """RFC 7240 allows lists, quotes, parameters and any case."""
    _, told, _ = await gateway.send("/v1/events/batch", [an_event()], Prefer=prefer)
    assert told == {"events_created_count": 1, "events_failed": []}


async def test_the_wrapped_form_is_taken_as_the_array(gateway):
    """{"events": [...]} goes into the log as the array alone."""
    status, told, _ = await gateway.send("/v1/events/batch", {"x": [1], "events": [an_event()]}, **MINIMAL)
    assert (status, told["events_created_count"]) == (201, 1)
    assert gateway.logged() == [an_event()]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b" [ ] ",
        b"{}",
        b'{"events":[]}',
        b'{"events":{}}',
        b'{"events":[{}],"events":[{}]}',
        b"17",
        b'"x"',
        b"null",
        b"[" + b",".join([b"{}"] * 5001) + b"]",
        b"[1,]",
        b"[1][2]",
        b"[NaN]",
        b"[Infinity]",
        b"[01]",
        b'["\xff"]',
        b'["\\ud800"]',
        b'["\xed\xa0\x80"]',
        b"\xef\xbb\xbf[1]",
        b"[" * 100_000,
        b"[" * 250 + b"]" * 250,
        b'[{"a":1,"a":1}]',
        b'[{"a":1,"\\u0061":1}]',
        b'[{"record":{"id":1,"id":1}}]',
        b'[{"record":{"id":1,"x":{"y":[{"z":1,"z":2}]}}}]',
        as_json([an_event()])[:-1],
        b'[{"a" :1, "a" :2}]',
    ],
)
async def test_a_batch_that_cannot_be_read_is_refused_whole(gateway, body):
    """400, a message, and nothing is stored."""
    status, told, _ = await gateway.send("/v1/events/batch", body)
    assert status == 400, told
    assert told["message"]
    assert gateway.sections() == []


async def test_the_largest_batch_is_taken(gateway):
    """5000 events are within the limit, 5001 are not."""
    status, told, _ = await gateway.send("/v1/events/batch", [an_event()] * 5000, **MINIMAL)
    assert (status, told["events_created_count"]) == (201, 5000)
    status, told, _ = await gateway.send("/v1/events/batch", [an_event()] * 5001, **MINIMAL)
    assert status == 400
    assert "5000" in told["message"]


async def test_a_single_bad_event_is_told_all_its_faults(gateway):
    """400 with one error for each fault."""
    status, told, _ = await gateway.send("/v1/events", an_event(customer_id="", timestamp=..., record={"id": True}))
    assert status == 400
    assert [(error["code"], error["path"]) for error in told["errors"]] == [
        ("empty", ["customer_id"]),
        ("required", ["timestamp"]),
        ("invalid_type", ["record", "id"]),
    ]


async def test_an_event_over_64_kib_is_413_alone_and_a_fault_in_a_batch(gateway):
    """One byte less is taken."""
    fits = with_properties(x="")
    fits["record"]["x"] = "y" * (EVENT_BYTES_MAX - len(as_json(fits)))
    over = with_properties(x=fits["record"]["x"] + "y")
    assert (await gateway.send("/v1/events", fits))[0] == 201
    assert (await gateway.send("/v1/events", over))[0] == 413
    status, told, _ = await gateway.send("/v1/events/batch", [an_event(), over, fits], **MINIMAL)
    assert status == 201
    assert told["events_created_count"] == 2
    assert [(one["index"], one["error"]["code"]) for one in told["events_failed"]] == [(1, "event_too_large")]


async def test_keys_and_scopes(gateway):
    """401 without a known key, 403 for one that may only read."""
    for path in ("/v1/events", "/v1/events/batch"):
        assert (await gateway.send(path, an_event(), Authorization=None))[0] == 401
        assert (await gateway.send(path, an_event(), Authorization="Bearer nobody"))[0] == 401
        status, told, _ = await gateway.send(path, an_event(), Authorization="Bearer test_read")
        assert status == 403
        assert "'ingest'" in told["message"]
    assert gateway.sections() == []


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("zstd", zstd.compress), ("GZIP", gzip.compress)]
)
async def test_compressed_bodies_are_read(gateway, encoding, compress):
    """gzip and zstd, single and batch."""
    status, _, _ = await gateway.send("/v1/events", compress(as_json(an_event())), Content_Encoding=encoding)
    assert status == 201
    body = compress(as_json([an_event()] * 3))
    status, told, _ = await gateway.send("/v1/events/batch", body, Content_Encoding=encoding, **MINIMAL)
    assert (status, told["events_created_count"]) == (201, 3)
    assert len(gateway.logged()) == 4


async def test_a_body_in_chunks_is_read(gateway):
    """No Content-Length is needed."""

    async def chunks():
        for at in range(0, len(body), 1000):
            yield body[at : at + 1000]

    body = as_json([an_event()] * 100)
    headers = {"Authorization": "Bearer test_ingest", "Content-Type": "application/json"} | MINIMAL
    async with gateway.session.post(gateway.url + "/v1/events/batch", data=chunks(), headers=headers) as answer:
        assert answer.status == 201
    assert len(gateway.logged()) == 100


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Content_Encoding": "br"}, 415),
        ({"Content_Encoding": "gzip, gzip"}, 415),
        ({"Content_Type": "text/csv"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Type": "application/json; charset=utf-8"}, 201),
        ({"Content_Type": "application/cloudevents+json"}, 201),
        ({"Content_Type": None}, 201),
        ({"Content_Encoding": "gzip"}, 400),
        ({"Content_Encoding": "zstd"}, 400),
    ],
)
async def test_what_a_body_says_it_is(gateway, headers, expected):
    """Unknown encodings and types other than JSON are 415; bytes that do not decompress are 400."""
    status, told, _ = await gateway.send("/v1/events", an_event(), **headers)
    assert status == expected, told


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
async def test_a_decompression_bomb_is_413(gateway, encoding, compress):
    """The limit holds on what comes out."""
    bomb = compress(b" " * (BODY_BYTES_MAX + 1))
    assert len(bomb) < 100_000
    assert (await gateway.send("/v1/events/batch", bomb, Content_Encoding=encoding))[0] == 413


async def test_a_body_over_32_mib_is_413(gateway):
    """Declared or not."""
    assert (await gateway.send("/v1/events/batch", b" " * (BODY_BYTES_MAX + 1)))[0] == 413


@pytest.mark.parametrize("error", [LogUnavailableError("x"), LogOverloadedError("x")])
@pytest.mark.parametrize("path", ["/v1/events", "/v1/events/batch"])
async def test_a_log_that_does_not_take_it_is_503(start, error, path):
    """Never a 2xx for what may be lost, and a time to come back."""
    gateway = await start(writer=FailingLog(error))
    status, _, headers = await gateway.send(path, an_event() if path == "/v1/events" else [an_event()])
    assert status == 503
    assert int(headers["Retry-After"]) >= 1


async def test_too_many_bytes_at_once_are_503(start):
    """A worker that holds its share takes no more, and takes again once it is free."""
    gateway = await start(budget_bytes_max=1000)
    body = as_json([an_event()] * 5000)
    with gateway.budget.hold(500):
        assert (await gateway.send("/v1/events/batch", body))[0] == 503
    assert (await gateway.send("/v1/events/batch", body, **MINIMAL))[0] == 201
    assert gateway.budget.held == 0


async def test_other_requests_are_passed_on(gateway):
    """The gateway's own are three; method and path decide."""
    for method, path in (
        ("GET", "/v1/events"),
        ("POST", "/v1/events/import"),
        ("GET", "/"),
        ("PUT", "/v1/events/batch"),
    ):
        status, told, _ = await gateway.send(path, None, method=method)
        assert (status, told) == (299, {"passed_on": path})


async def test_old_clients_get_whole_answers(gateway):
    """HTTP/1.0 and Connection: close are answered and closed."""
    status, body, headers = await gateway.send("/v1/events", an_event(), Connection="close")
    assert (status, body, headers["Connection"]) == (201, {}, "close")
