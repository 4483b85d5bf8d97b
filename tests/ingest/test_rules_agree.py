"""What is proven good at once and what the rules find good one by one is the same."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.canonical import canonical_record_id, decode_events, encode_record
from ingest.quick_batch import count_if_proven_good
from ingest.quick_event import proves_good_event
from ingest.requests import _judge_batch, _judge_event, check_batch, check_event
from metering.http.problem import ApiError
from tests.ingest.events import an_event, as_json

NUMBERS = st.one_of(
    st.integers(-(10**21), 10**21).map(str),
    st.from_regex(r"-?(0|[1-9][0-9]{0,22})(\.[0-9]{1,21})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(["1e400", "1e-400", "0e999999999", "-0", "1.50", "01", "1.", "NaN", "9" * 4500]),
)
TEXTS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        ["", "id", "a", "x" * 255, "x" * 256, "é" * 255, "\x7f", "\x85", '":', '" :', "{", "[", "\\", "2024"]
    ),
)
STRINGS = st.one_of(
    TEXTS.map(json.dumps),
    TEXTS.map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.sampled_from(['"\\u0061"', '"\\ud800"', '"\\ud83d\\ude00"', '"\\x"', '"\x01"', '"']),
)
SCALARS = st.one_of(STRINGS, NUMBERS, st.sampled_from(["true", "false", "null", "nul"]))
SPACES = st.sampled_from(["", "", "", " ", "\n", "\t\r"])
TIMESTAMPS = st.one_of(
    st.datetimes().map(lambda moment: json.dumps(moment.isoformat() + "Z")),
    st.datetimes().map(lambda moment: json.dumps(moment.isoformat(" ", "milliseconds"))),
    st.from_regex(
        r'"(19[78]\d|20\d\d|2100)-[01]\d-[0-3]\d[T ][0-2]\d:[0-6]\d:[0-6]\d(\.\d{1,10})?(Z|[+-]\d\d:\d\d)?"',
        fullmatch=True,
    ),
    st.sampled_from(["1700000000000", "1700000000", "1.7e12", "true", '"2024-W03-1T10:30:00.000Z"', '"2024-01-15"']),
)


@st.composite
def objects(draw, values, keys=STRINGS):
    pairs = draw(st.lists(st.tuples(SPACES, keys, SPACES, values, SPACES), max_size=4))
    return "{" + ",".join(f"{a}{key}{b}:{value}{c}" for a, key, b, value, c in pairs) + "}"


VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3).map(lambda v: f"[{','.join(v)}]"), objects(inner)),
    max_leaves=4,
)


STRANGE = (
    "nothing",
    "id",
    "value",
    "name",
    "space",
    "many",
    "customer_id",
    "event_type",
    "timestamp",
    "twice",
    "unknown",
)
USUAL_TEXTS = st.text("abc:_-", min_size=1, max_size=6).map(json.dumps)
USUAL_VALUES = st.one_of(
    USUAL_TEXTS, st.sampled_from(["12", "-7", "99999999999999999999", "1.5", "true", "null", "1e2"])
)


@st.composite
def events(draw):
    """Events of which nothing, one or two things are strange, so that many are good and many nearly so."""
    strange = draw(st.lists(st.sampled_from(STRANGE), max_size=2, unique=True))

    def part(name, usual, unusual):
        return draw(unusual if name in strange else usual)

    def pair(name, value):
        return f"{name}{part('space', st.just(''), SPACES)}:{value}"

    record = [pair('"id"', part("id", st.one_of(USUAL_TEXTS, st.just("17")), VALUES))]
    count = draw(st.integers(22, 26) if "many" in strange else st.integers(0, 3))
    record += [pair(f'"p{number}"', draw(USUAL_VALUES)) for number in range(count)]
    if "name" in strange or "value" in strange:
        record.append(pair(part("name", st.just('"x"'), STRINGS), part("value", USUAL_VALUES, VALUES)))
    if "twice" in strange:
        record.append(draw(st.sampled_from(record)).replace('"p1"', '"\\u00701"').replace('"p2"', '"p2" '))
    fields = [
        pair('"customer_id"', part("customer_id", USUAL_TEXTS, SCALARS)),
        pair('"event_type"', part("event_type", USUAL_TEXTS, SCALARS)),
        pair('"timestamp"', part("timestamp", st.just('"2024-01-15T10:30:00.000Z"'), TIMESTAMPS)),
        pair('"record"', "{" + ",".join(record) + "}"),
    ]
    if "unknown" in strange:
        fields.append(pair(draw(STRINGS), draw(VALUES)))
    return ("{" + ",".join(draw(st.permutations(fields))) + "}").encode("utf-8", "surrogatepass")


def verdict(check, body):
    """Give what a check says, without the position that messages of malformed JSON carry."""
    try:
        return check(body)
    except ApiError as error:
        return error.status, [(fault.code, fault.path) for fault in error.faults]


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(events())
def test_a_proven_event_is_a_good_one(event):
    """proves_good_event never says yes where the rules find a fault."""
    judged = verdict(_judge_event, event)
    if proves_good_event(event):
        assert judged is None
    assert verdict(check_event, event) == (b"[" + event + b"]" if judged is None else judged)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(events())
def test_what_is_accepted_can_be_stored(event):
    """The consumer's reading of the log takes all that the gateway lets through."""
    if verdict(_judge_event, event) is None:
        (read,) = decode_events(b"[" + event + b"]")
        canonical_record_id(read.record["id"])
        encode_record(read.record)


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(st.lists(events(), min_size=1, max_size=4))
def test_a_proven_batch_is_a_good_one(found):
    """count_if_proven_good never says yes where the rules find a fault, and a batch answers as its events do alone."""
    body = b"[" + b",".join(found) + b"]"
    judged = verdict(_judge_batch, body)
    assert verdict(check_batch, body) == judged
    count = count_if_proven_good(body)
    if count:
        assert (count, judged.failures) == (len(found), ())
    if not isinstance(judged, tuple):
        alone = [verdict(_judge_event, event) for event in found]
        failed = {one.index: (one.fault.code, one.fault.path) for one in judged.failures}
        assert failed == {index: one[1][0] for index, one in enumerate(alone) if one is not None}


def test_usual_events_are_proven():
    """What clients usually send takes the short way; else the proofs would be dead weight."""
    usual = [an_event(), an_event(record={"id": 485, "amount": 2500}, timestamp="2022-01-05 21:56:52")]
    fractions = an_event(record={"id": "r", "a": 1.25, "b": 0.1})
    assert all(proves_good_event(as_json(event)) for event in (*usual[1:], fractions))
    for event in (
        *usual,
        fractions,
        an_event(customer_id="é", event_type="{a: b}", record={"id": 1, "tags": ["x", 1.5]}),
    ):
        assert count_if_proven_good(as_json([event] * 500)) == 500
        assert count_if_proven_good(json.dumps([event] * 500, indent=2).encode()) == 500
