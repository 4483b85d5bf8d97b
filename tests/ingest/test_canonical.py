import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.canonical import (
    FaultyEventError,
    canonical_number,
    canonical_record_id,
    decode_events,
    encode_record,
)

JSON_NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,19})(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)


def record_of(text):
    body = '[{"customer_id":"c","timestamp":1,"event_type":"t","record":' + text + "}]"
    return decode_events(body.encode())[0].record


@given(JSON_NUMBERS)
def test_a_number_keeps_its_exact_value_in_plain_form(text):
    """No digit is lost, and equal numbers become equal texts: no exponent, no trailing zeros, no -0."""
    try:
        plain = canonical_number(text)
    except FaultyEventError:
        assert abs(Decimal(text).adjusted()) > 60
        return
    assert Decimal(plain) == Decimal(text)
    assert set(plain) <= set("-0123456789.")
    assert plain != "-0"
    assert "." not in plain or plain[-1] not in "0."


@given(st.dictionaries(st.text(), st.one_of(st.none(), st.booleans(), st.text(), st.integers(), st.lists(st.text()))))
def test_a_record_comes_back_as_it_was_sent(record):
    """Strings of any script, numbers of any size, nulls and arrays keep their values."""
    assert json.loads(encode_record(record_of(json.dumps(record)))) == record


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ('{"b":1.50,"a":15e-1}', b'{"a":1.5,"b":1.5}'),
        ('{ "a" : [ 1.0 , -0.0, true, null ] }', b'{"a":[1,0,true,null]}'),
        ('{"a":12345678901234567890.123456789012345678}', b'{"a":12345678901234567890.123456789012345678}'),
        ('{"a":123456789012345678901234567890}', b'{"a":123456789012345678901234567890}'),
        ('{"a":-0,"b":1E2}', b'{"a":0,"b":100}'),
        ('{"a":"\\u00e9\\/\\n"}', '{"a":"é/\\n"}'.encode()),
    ],
)
def test_two_ways_to_write_a_record_become_the_same_bytes(sent, stored):
    """Names are sorted, space goes, numbers are plain, strings are escaped as little as possible."""
    assert encode_record(record_of(sent)) == stored


@pytest.mark.parametrize("sent", ['"485"', "485", "485.0", "4.85e2", "48500E-2"])
def test_ids_are_compared_as_text(sent):
    """485 in any notation, quoted or not, is one id."""
    assert canonical_record_id(record_of('{"id":' + sent + "}")["id"])[0] == "485"


def test_an_id_remembers_whether_it_was_a_number():
    """It can be given back as it was sent."""
    assert canonical_record_id(record_of('{"id":1e2}')["id"]) == ("100", True)
    assert canonical_record_id("100") == ("100", False)
    with pytest.raises(FaultyEventError):
        canonical_record_id(True)  # A boolean is an int to Python.


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[", b'[{"customer_id":"\xff"}]', b"[[", b"[" * 9000, b'[{"customer_id":1}]']
)
def test_what_is_no_array_of_events_is_faulty(body):
    """Whatever the bytes, the fault is a value and not a crash."""
    with pytest.raises(FaultyEventError):
        decode_events(body)


@pytest.mark.parametrize("number", ["1e400", "1e-400", "1e999999999999999999999"])
def test_a_number_that_cannot_be_written_out_is_faulty(number):
    """A short text must not become a gigabyte of zeros."""
    with pytest.raises(FaultyEventError):
        record_of('{"a":' + number + "}")
