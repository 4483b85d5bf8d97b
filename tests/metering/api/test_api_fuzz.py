"""Whatever a client sends, it is told what is wrong with it: never a 500."""

import json
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metering.http.app import build_app
from metering.timestamps import microseconds

EXAMPLES = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
MARCH = datetime(2024, 3, 10, tzinfo=UTC)
texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["", "\x00", "\ud800", "a\nb", "x" * 300, "2024-01-01", "c1-ff", "EUR", "é", "'; --", "%", "{}"]),
)
numbers = st.one_of(
    st.integers(), st.sampled_from([0, -1, 10**30, -(10**101), 1.5, 1e300, 2**63, 2**64]), st.floats(allow_nan=False)
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=8,
)
CUSTOMER = [
    "name",
    "external_id",
    "type",
    "currency",
    "country",
    "timezone",
    "billing_email",
    "billing_address",
    "invoice_emails",
    "tax_ids",
    "tax_rate_custom",
    "custom_payment_delay",
    "custom_properties",
    "taxability",
    "organisation_id",
    "status",
]
AGGREGATOR = [
    "name",
    "entity",
    "operation",
    "property",
    "where",
    "unit_name",
    "status",
    "thresholds",
    "exposed_event_keys",
    "default_interval_count",
    "type",
]
PARAMETERS = [
    "take",
    "skip",
    "as_of",
    "start_date",
    "end_date",
    "timezone",
    "granularity",
    "order",
    "sort",
    "customer_id",
    "record_id",
    "event_type",
    "timestamp__gte",
    "timestamp__lt",
    "name__contains",
    "name__in",
    "created_at__gte",
    "id__isNull",
    "type",
    "status__not",
]
conditions = st.fixed_dictionaries(
    {},
    optional={
        "property": st.one_of(st.just("tokens"), st.just("id"), texts, values),
        "operator": st.one_of(st.sampled_from(["equals", "in", "gt", "isNull", "notIn", "not_equal"]), values),
        "value": values,
    },
)
filters = st.one_of(
    values,
    st.fixed_dictionaries(
        {}, optional={"conditional": st.one_of(st.sampled_from(["and", "or"]), values), "fields": st.lists(conditions)}
    ),
)


def body_of(names):
    return st.one_of(values, st.fixed_dictionaries({}, optional=dict.fromkeys(names, values)))


@EXAMPLES
@given(body=body_of(CUSTOMER))
async def test_no_customer_breaks_the_api(api, body):
    """Made, or refused with a message."""
    answer = await api("POST", "/v1/customers", data=json.dumps(body).encode())
    assert answer.status in {201, 400, 409, 413}, answer.text
    assert answer.status == 201 or answer.json["message"]
    if answer.status == 201:
        path = f"/v1/customers/{answer.json['id']}"
        assert (await api.put(path, body)).status == 200
        assert (await api.get(path)).status == 200


@pytest.fixture
async def counted(account, usage):
    """Events with a value of each kind."""
    kinds = (b"1.5", b'"1e3"', b'"x"', b"true", b"null", b'[1,"a"]', b'""')
    rows = [
        {"record_id": str(index), "properties": b'{"tokens":' + kind + b"}", "timestamp_us": microseconds(MARCH)}
        for index, kind in enumerate(kinds)
    ]
    await usage.add(account, *rows, {"record_id": "none", "properties": b"{}", "timestamp_us": microseconds(MARCH)})


@pytest.mark.slow
@pytest.mark.usefixtures("counted")
@EXAMPLES
@given(body=body_of(AGGREGATOR), where=filters)
async def test_no_aggregator_breaks_the_api_nor_any_figure(api, body, where):
    """What was accepted can be counted."""
    answer = await api("POST", "/v1/aggregators", data=json.dumps(body).encode())
    assert answer.status in {201, 400}, answer.text
    good = {"name": "n", "entity": "call", "operation": "sum", "property": "tokens", "where": where}
    answer = await api.post("/v1/aggregators", good)
    assert answer.status in {201, 400}, answer.text
    if answer.status == 201:
        usage = await api.get(f"/v1/aggregators/{answer.json['id']}/usage?start_date=2024-03-01&end_date=2024-04-01")
        assert usage.status == 200, usage.text


@EXAMPLES
@given(raw=st.binary(max_size=60))
async def test_no_bytes_break_the_api(api, raw):
    """Bytes that are no JSON object are refused."""
    for path in ("/v1/customers", "/v1/aggregators"):
        assert (await api("POST", path, data=raw)).status in {400, 413}


@pytest.mark.slow
@EXAMPLES
@given(
    name=st.sampled_from(PARAMETERS),
    value=st.one_of(texts, st.integers().map(str), st.just("a" * 3_000)),
)
async def test_no_query_breaks_the_api(api, name, value):
    """Any text as the value of any parameter, on lists of every kind."""
    text = quote(value.encode("utf-8", "surrogatepass"), safe="")
    for path in ("/v1/customers", "/v1/aggregators", "/v1/events"):
        answer = await api.get(f"{path}?{name}={text}")
        assert answer.status in {200, 400}, answer.text


@pytest.mark.slow
@EXAMPLES
@given(one=texts, other=texts)
async def test_no_path_breaks_the_api(api, one, other):
    """Any text as an id."""
    first, second = (quote(text.encode("utf-8", "surrogatepass"), safe="") or "-" for text in (one, other))
    for path in (
        f"/v1/customers/{first}",
        f"/v1/customers/{first}/usage",
        f"/v1/aggregators/{first}/usage/timeseries",
        f"/v1/customers/{first}/usage/{second}/events",
        f"/v1/events/{first}/{second}/versions",
    ):
        answer = await api.get(path)
        assert answer.status == 404, answer.text
        assert answer.json["message"]


@pytest.mark.parametrize("depth", [50, 150, 250, 100_000])
async def test_depth_is_no_way_in(api, depth):
    """Kept and given back, or refused."""
    deep = b'{"name":"x","custom_properties":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
    answer = await api("POST", "/v1/customers", data=deep)
    assert answer.status in {201, 400, 413}, answer.text
    if answer.status == 201:
        assert (await api.get(f"/v1/customers/{answer.json['id']}")).status == 200


def test_a_table_is_served_without_being_called(table):
    """Building an application asks nothing of the services."""
    assert build_app(table, None)
    assert json.dumps([route.summary for route in table])
