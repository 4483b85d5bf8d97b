"""The rules of the HTTP contract, line by line, through the same entry as requests take."""

import json

import pytest

from ingest.requests import check_batch, check_event
from ingest.rules import event_faults
from ingest.strict_json import read_strictly
from metering.http.problem import ApiError
from tests.ingest.events import an_event, as_json, with_properties, with_value

GOOD = {
    "all fields": an_event(),
    "an id alone": an_event(record={"id": 1}),
    "25 properties": with_properties(**{f"p{n}": n for n in range(24)}),
    "numeric id": an_event(record={"id": 485}),
    "id with a fraction": with_value("1").replace(b'"id":1', b'"id":1.50'),
    "negative id": an_event(record={"id": -7}),
    "unknown fields": an_event(extra={"deep": [{"x": [1e300]}]}, other=None),
    "unknown field with a huge number": as_json(an_event())[:-1] + b',"x":1e999999999}',
    "every kind of value": with_properties(
        a="s", b=1, c=1.5, d=True, e=False, f=None, g=[], h=["s", 1, 1.5, True, None]
    ),
    "control character in a value": with_properties(x="a\u0000b\u007f\u0085\n"),
    "empty value": with_properties(x=""),
    "long value": with_properties(x="y" * 60_000),
    "255 characters": an_event(customer_id="é" * 255, event_type="日" * 255, record={"id": "😀" * 255, "n" * 255: 1}),
    "spaces and quotes in names": an_event(event_type=' a "b" \\ / {[:,]} ', record={"id": " ", '":': 1, "a b": 2}),
    "emoji by escapes": as_json(an_event(event_type="😀")),
    "white space": json.dumps(an_event(), indent=3).encode() + b"\n\t ",
    "white space before colons": as_json(an_event()).replace(b'":', b'" :\n'),
    "seconds": an_event(timestamp="2022-01-05 21:56:52"),
    "no seconds": an_event(timestamp="2022-01-05T21:56Z"),
    "offset": an_event(timestamp="2022-01-05T21:56:52+05:30"),
    "many decimals": an_event(timestamp="2022-01-05T21:56:52.123456789123Z"),
    "leap day": an_event(timestamp="2024-02-29T00:00:00Z"),
    "epoch milliseconds": an_event(timestamp=1_700_000_000_000),
    "first instant": an_event(timestamp="1980-01-01T00:00:00Z"),
    "last instant": an_event(timestamp="2099-12-31T23:59:59.999999Z"),
}

GOOD_NUMBERS = [
    "0", "-0", "-0.0", "1.50", "15e-1", "1E2", "1e+2", "99999999999999999999", "-99999999999999999999",
    "99999999999999999999.999999999999999999", "0.000000000000000001", "1e-18", "1e19", "9.9e19",
    "1.000000000000000000000000000000", "0e99", "0.000e-99", "1000000000000000000000e-2", "12345678901234567890e-18",
]  # fmt: skip

BAD_NUMBERS = [
    "100000000000000000000", "-100000000000000000000", "1e20", "1e400", "-1e400", "1e999999999", "1e-999999999",
    "1e99999999999999999999999999", "1" * 40, "9" * 5000, "0.0000000000000000001", "1e-19", "1.0000000000000000001",
    "1234567890.1234567890123456789", "0.1" + "0" * 30 + "1", "99999999999999999999.9999999999999999999",
]  # fmt: skip

BAD = {
    "not an object": (b"17", "invalid_type", []),
    "null": (b"null", "invalid_type", []),
    "no customer": (an_event(customer_id=...), "required", ["customer_id"]),
    "no type": (an_event(event_type=...), "required", ["event_type"]),
    "no timestamp": (an_event(timestamp=...), "required", ["timestamp"]),
    "no record": (an_event(record=...), "required", ["record"]),
    "customer is null": (an_event(customer_id=None), "invalid_type", ["customer_id"]),
    "customer is a number": (an_event(customer_id=17), "invalid_type", ["customer_id"]),
    "customer is empty": (an_event(customer_id=""), "empty", ["customer_id"]),
    "customer too long": (an_event(customer_id="x" * 256), "too_long", ["customer_id"]),
    "customer with a newline": (an_event(customer_id="a\nb"), "control_character", ["customer_id"]),
    "customer with DEL": (an_event(customer_id="a\x7f"), "control_character", ["customer_id"]),
    "type is a list": (an_event(event_type=["a"]), "invalid_type", ["event_type"]),
    "type with U+0085": (with_value("1").replace(b'"t"', '"\u0085"'.encode()), "control_character", ["event_type"]),
    "type with U+0000": (an_event(event_type="a\u0000"), "control_character", ["event_type"]),
    "record is a list": (an_event(record=[]), "invalid_type", ["record"]),
    "record is empty": (an_event(record={}), "required", ["record", "id"]),
    "record without id": (an_event(record={"x": 1}), "required", ["record", "id"]),
    "26 properties": (with_properties(**{f"p{n}": n for n in range(25)}), "too_many_properties", ["record"]),
    "id is null": (an_event(record={"id": None}), "invalid_type", ["record", "id"]),
    "id is true": (an_event(record={"id": True}), "invalid_type", ["record", "id"]),
    "id is a list": (an_event(record={"id": [1]}), "invalid_type", ["record", "id"]),
    "id is empty": (an_event(record={"id": ""}), "empty", ["record", "id"]),
    "id too long": (an_event(record={"id": "x" * 256}), "too_long", ["record", "id"]),
    "id with a tab": (an_event(record={"id": "a\tb"}), "control_character", ["record", "id"]),
    "id too large": (an_event(record={"id": 10**20}), "number_out_of_range", ["record", "id"]),
    "empty name": (with_properties(**{"": 1}), "empty", ["record", ""]),
    "long name": (with_properties(**{"x" * 256: 1}), "too_long", ["record", "x" * 256]),
    "name with a control character": (with_properties(**{"a\u001fb": 1}), "control_character", ["record", "a\u001fb"]),
    "object": (with_properties(x={"y": 1}), "nested", ["record", "x"]),
    "empty object": (with_properties(x={}), "nested", ["record", "x"]),
    "array of objects": (with_properties(x=[1, {}]), "nested", ["record", "x", 1]),
    "array of arrays": (with_properties(x=[[]]), "nested", ["record", "x", 0]),
    "large number in an array": (with_properties(x=["a", 10**20]), "number_out_of_range", ["record", "x", 1]),
    "epoch seconds": (an_event(timestamp=1_700_000_000), "invalid_timestamp", ["timestamp"]),
    "timestamp with a fraction": (an_event(timestamp=1.7e12), "invalid_timestamp", ["timestamp"]),
    "timestamp is true": (an_event(timestamp=True), "invalid_timestamp", ["timestamp"]),
    "timestamp is null": (an_event(timestamp=None), "invalid_timestamp", ["timestamp"]),
    "timestamp is empty": (an_event(timestamp=""), "invalid_timestamp", ["timestamp"]),
    "epoch as text": (an_event(timestamp="1700000000000"), "invalid_timestamp", ["timestamp"]),
    "no such day": (an_event(timestamp="2023-02-29T00:00:00Z"), "invalid_timestamp", ["timestamp"]),
    "31st of April": (an_event(timestamp="2023-04-31T00:00:00Z"), "invalid_timestamp", ["timestamp"]),
    "hour 24": (an_event(timestamp="2023-02-28T24:00:00Z"), "invalid_timestamp", ["timestamp"]),
    "week date": (an_event(timestamp="2024-W03-1T10:30:00.000Z"), "invalid_timestamp", ["timestamp"]),
    "before 1980": (an_event(timestamp="1979-12-31T23:59:59.999999Z"), "invalid_timestamp", ["timestamp"]),
    "before 1980 by offset": (an_event(timestamp="1980-01-01T00:00:00+01:00"), "invalid_timestamp", ["timestamp"]),
    "2100": (an_event(timestamp="2100-01-01T00:00:00Z"), "invalid_timestamp", ["timestamp"]),
    "arabic digits": (an_event(timestamp="٢٠٢٤-01-15T10:30:00Z"), "invalid_timestamp", ["timestamp"]),
}  # fmt: skip

MALFORMED = {
    "nothing": b"",
    "cut short": as_json(an_event())[:-1],
    "NaN": with_value("NaN"),
    "Infinity": with_value("-Infinity"),
    "lone surrogate": with_value('"\\ud800"'),
    "reversed surrogates": with_value('"\\ude00\\ud83d"'),
    "encoded surrogate": with_value("1").replace(b'"t"', b'"\xed\xa0\x80"'),
    "invalid UTF-8": with_value("1").replace(b'"t"', b'"\xff"'),
    "invalid UTF-8 in an unknown field": as_json(an_event())[:-1] + b',"y":"\xff"}',
    "bare control character": with_value('"\x01"'),
    "bad escape": with_value('"\\x"'),
    "leading zero": with_value("01"),
    "no fraction": with_value("1."),
    "duplicate field": as_json(an_event())[:-1] + b',"customer_id":"d"}',
    "duplicate unknown field": as_json(an_event())[:-1] + b',"y":1,"y":1}',
    "duplicate property": with_value('1,"x":1'),
    "duplicate property by an escape": with_value('1,"\\u0078":1'),
    "duplicate property behind white space": with_value('1,"x" :1'),
    "duplicate id": with_value('1,"id":1'),
    "duplicate deep inside": with_value('{"a":[{"b":1,"b":1}]}'),
    "duplicate, with a string that looks like a key": with_value('"\\":",  "x" :1'),
    "deep array": with_value("[" * 300 + "]" * 300),
    "deep unknown field": as_json(an_event())[:-1] + b',"y":' + b"[" * 300 + b"]" * 300 + b"}",
    "deep object": with_value('{"a":' * 300 + "1" + "}" * 300),
    "two documents": as_json(an_event()) * 2,
    "comma at the end": with_value("1,"),
    "byte order mark": b"\xef\xbb\xbf" + as_json(an_event()),
}


def in_a_batch(event: bytes) -> bytes:
    return b"[" + as_json(an_event()) + b"," + event + b"]"


@pytest.mark.parametrize("event", [pytest.param(as_json(event), id=name) for name, event in GOOD.items()])
def test_good_events_are_taken(event):
    """Alone, in a batch and by the rules themselves."""
    assert check_event(event) == b"[" + event + b"]"
    checked = check_batch(in_a_batch(event))
    assert (checked.events, checked.failures, checked.body) == (2, (), in_a_batch(event))
    assert list(event_faults(read_strictly(event))) == []


@pytest.mark.parametrize("text", GOOD_NUMBERS)
def test_numbers_within_the_limits_are_taken_however_they_are_written(text):
    """As a value, in an array, as an id."""
    for event in (
        with_value(text),
        with_value(f'["a",{text}]'),
        with_value("1").replace(b'"id":1', b'"id":' + text.encode()),
    ):
        assert check_event(event)
        assert check_batch(in_a_batch(event)).events == 2


@pytest.mark.parametrize("text", BAD_NUMBERS)
def test_numbers_beyond_the_limits_are_faults_of_their_event(text):
    """The message names the field and shows the value, shortened."""
    for event, path in ((with_value(text), ["x"]), (with_value(f"[{text}]"), ["x", 0])):
        fault = the_fault(event)
        assert (fault.code, list(fault.path)) == ("number_out_of_range", ["record", *path])
        assert fault.message.startswith(f"record.{'.'.join(map(str, path))} is {text[:40]}")
        assert len(fault.message) < 300


@pytest.mark.parametrize(
    ("event", "code", "path"),
    [pytest.param(as_json(event), code, path, id=name) for name, (event, code, path) in BAD.items()],
)
def test_bad_events_are_told_with_the_field(event, code, path):
    """Alone 400, in a batch a failure that does not stop the other event."""
    fault = the_fault(event)
    assert (fault.code, list(fault.path)) == (code, path)
    assert fault.message


@pytest.mark.parametrize("event", [pytest.param(event, id=name) for name, event in MALFORMED.items()])
def test_malformed_requests_are_refused_whole(event):
    """400 alone; in a batch nothing of the request is taken."""
    for check, body in ((check_event, event), (check_batch, in_a_batch(event) if event else b"")):
        with pytest.raises(ApiError) as caught:
            check(body)
        assert caught.value.status == 400
        assert "malformed JSON" in caught.value.message


def the_fault(event: bytes):
    """Give the first fault, which is the same alone and in a batch."""
    with pytest.raises(ApiError) as caught:
        check_event(event)
    assert caught.value.status == 400
    checked = check_batch(in_a_batch(event))
    assert checked.events == 1
    assert checked.body == b"[" + as_json(an_event()) + b"]"
    (failure,) = checked.failures
    assert (failure.index, failure.sent) == (1, event)
    assert failure.fault == caught.value.faults[0]
    return failure.fault


def test_an_event_beyond_its_size_is_found_among_small_ones():
    """Wherever it stands, also when white space alone makes it large."""
    small = as_json(an_event())
    padded = small[:-1] + b" " * 65_536 + b"}"
    braces = as_json(with_properties(x="{" * 66_000))
    for large in (padded, braces):
        for at in range(3):
            events = [small] * 1000
            events[at * 400] = large
            checked = check_batch(b"[" + b",".join(events) + b"]")
            assert [(one.index, one.fault.code) for one in checked.failures] == [(at * 400, "event_too_large")]
            assert checked.events == 999


@pytest.mark.parametrize(
    "value", [b"1,", b"[],", b"{},", b'"",', b'{"a":[{},{}]},', b'{"customer_id":1},', as_json(an_event()) + b","]
)
def test_a_flood_of_small_values_is_refused_without_reading_them_all(value):
    """32 MiB of values would take gigabytes as objects."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    flood = b"[" + value * (8_000_000 // len(value)) + b"1]"
    with pytest.raises(ApiError, match="more than 5000"):
        check_batch(flood)
    record = b'{"customer_id":"c","event_type":"t","timestamp":1700000000000,"record":{"id":1,"x":[%s1]}}' % flood[1:-1]
    assert check_batch(b"[" + record + b"]").failures[0].fault.code == "event_too_large"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB
