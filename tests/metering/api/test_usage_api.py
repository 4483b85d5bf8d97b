from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from metering.registry.customers import ensure_customers
from metering.timestamps import microseconds

NOON = microseconds(datetime(2024, 3, 10, 12, tzinfo=UTC))
DAY = 86_400_000_000
MARCH = "start_date=2024-03-01&end_date=2024-04-01"


def called(record_id, customer_id, tokens, at=NOON):
    return {
        "record_id": record_id,
        "customer_id": customer_id,
        "timestamp_us": at,
        "properties": b'{"tokens":' + tokens.encode() + b"}",
    }


@pytest.fixture
async def customer(api):
    return (await api.post("/v1/customers", {"external_id": "acme/1", "name": "Acme"})).json


@pytest.fixture
async def tokens(api):
    body = {"name": "Tokens", "entity": "call", "operation": "sum", "property": "tokens", "unit_name": "token"}
    return (await api.post("/v1/aggregators", body)).json


@pytest.fixture
async def large(api):
    fields = [{"property": "tokens", "operator": "gte", "value": 10}]
    body = {"name": "Large calls", "entity": "call", "operation": "count", "where": {"fields": fields}}
    return (await api.post("/v1/aggregators", body)).json


async def test_usage_has_one_row_for_each_active_aggregator(*, api, account, usage, customer, tokens, large):
    """All ids of the customer count; an archived aggregator is left out; figures keep all their digits."""
    await usage.add(
        account,
        called("1", "acme/1", "12345678901234567890.000000000000000001"),
        called("2", customer["id"], "0.5"),
        called("3", "somebody", "7"),
        called("4", "acme/1", "100", at=NOON + 40 * DAY),
    )
    archived = {"name": "Old", "entity": "call", "operation": "count", "status": "archived"}
    await api.post("/v1/aggregators", archived)
    answer = await api.get(f"/v1/customers/acme%2F1/usage?{MARCH}")
    assert answer.status == 200
    assert '"total":12345678901234567890.500000000000000001' in answer.text
    rows = answer.json
    assert [(row["aggregator_id"], row["count"]) for row in rows] == [(tokens["id"], 2), (large["id"], 1)]
    assert (rows[0]["name"], rows[0]["unit_name"], rows[1]["total"]) == ("Tokens", "token", 1)
    assert answer.headers["X-Usage-Cutoff"].startswith("c1-")


async def test_without_dates_it_is_the_current_month(*, api, account, usage, customer, tokens, clock):
    """The month of the clock in the time zone that is asked for."""
    clock.moment = datetime(2024, 3, 31, 22, 30, tzinfo=UTC)
    await usage.add(account, called("1", "acme/1", "5"), at=datetime(2024, 3, 10, tzinfo=UTC))
    path = f"/v1/customers/{customer['id']}/usage/{tokens['id']}"
    march = (await api.get(path)).json
    assert (march["total"], march["count"], march["aggregator_id"]) == (5, 1, tokens["id"])
    assert (march["period_start"], march["period_end"]) == ("2024-03-01T00:00:00.000Z", "2024-04-01T00:00:00.000Z")
    april = (await api.get(f"{path}?timezone=Europe/Paris")).json
    assert (april["total"], april["period_start"]) == (0, "2024-03-31T22:00:00.000Z")


async def test_a_timeseries_is_gapless_and_cut_to_the_range(api, account, usage, customer, tokens):
    """Zeros are told, the first and last windows are those of the range, days follow the zone's clocks."""
    await usage.add(account, called("1", "acme/1", "5"), called("2", "acme/1", "1.5", at=NOON + DAY))
    path = f"/v1/customers/{customer['id']}/usage/{tokens['id']}/timeseries"
    query = "start_date=2024-03-09T18:00Z&end_date=2024-03-12&granularity=day"
    rows = (await api.get(f"{path}?{query}")).json
    assert [str(row["total"]) for row in rows] == ["0", "5", "1.5"]
    assert (rows[0]["period_start"], rows[0]["period_end"]) == ("2024-03-09T18:00:00.000Z", "2024-03-10T00:00:00.000Z")
    months = (await api.get(f"{path}?{MARCH}&granularity=month")).json
    assert [(str(row["total"]), row["count"]) for row in months] == [("6.5", 2)]
    summer = f"{path}?start_date=2024-03-31&end_date=2024-04-01&granularity=hour&timezone=Europe/Paris"
    assert len((await api.get(summer)).json) == 23
    everybody = (await api.get(f"/v1/aggregators/{tokens['id']}/usage/timeseries?{query}")).json
    assert everybody == rows


async def test_everybodys_usage_of_an_aggregator(api, account, usage, tokens):
    """The aggregator's id, name, unit and thresholds, and the figure of all customers."""
    thresholds = [{"name": "high", "threshold_value": 10, "comparison_operator": "gte"}]
    await api.put(f"/v1/aggregators/{tokens['id']}", {"thresholds": thresholds})
    await usage.add(account, called("1", "acme/1", "5"), called("2", "zeta", "2"))
    answer = (await api.get(f"/v1/aggregators/{tokens['id']}/usage?{MARCH}")).json
    assert (answer["id"], answer["total"], answer["count"]) == (tokens["id"], 7, 2)
    assert answer["thresholds"] == thresholds


async def test_usage_by_customer_merges_its_ids(*, api, account, usage, customer, tokens, above, registry, clock):
    """Total descending, then customer id; an id that is nobody's stands for itself."""
    with registry.writing() as connection:
        ensure_customers(connection, account, ["auto"], clock())
    above.customers[customer["id"]] = ["sub_1", "sub_2"]
    await usage.add(
        account,
        called("1", "acme/1", "5"),
        called("2", customer["id"], "0.5"),
        called("3", "auto", "5.5"),
        called("4", "unknown", "1"),
        called("5", "negative", "-3"),
    )
    path = f"/v1/aggregators/{tokens['id']}/usage/group-by-customer?{MARCH}"
    answer = (await api.get(path)).json
    rows = [(row["external_id"], str(row["total"]), row["count"]) for row in answer["data"]]
    first_two = sorted(answer["data"][:2], key=lambda row: row["customer_id"])
    assert answer["data"][:2] == first_two
    assert sorted(rows[:2]) == [("acme/1", "5.5", 2), ("auto", "5.5", 1)]
    assert rows[2:] == [("unknown", "1", 1), ("negative", "-3", 1)]
    assert answer["data"][2]["customer_id"] is None
    ours = next(row for row in answer["data"] if row["customer_id"] == customer["id"])
    assert ours["subscription_ids"] == ["sub_1", "sub_2"]
    page = (await api.get(f"{path}&take=1&skip=2")).json
    assert page["meta"] == {"total": 4, "taken": 1, "skipped": 2}
    assert page["data"] == answer["data"][2:3]


async def test_usage_by_the_values_of_a_property(api, account, usage, tokens):
    """Total descending, exact, values as text, those without one under null; of one customer on demand."""
    made = [
        ("1", "acme/1", b'{"model":"a \\"b\\" \\\\u","tokens":0.000000000000000001}'),
        ("2", "acme/1", b'{"model":"a \\"b\\" \\\\u","tokens":12345678901234567890}'),
        ("3", "zeta", b'{"model":5,"tokens":7}'),
        ("4", "zeta", b'{"model":"5","tokens":1}'),
        ("5", "zeta", b'{"model":null,"tokens":-1}'),
        ("6", "zeta", b'{"tokens":-1}'),
    ]
    await usage.add(account, *({**called(who, whose, "0"), "properties": props} for who, whose, props in made))
    path = f"/v1/aggregators/{tokens['id']}/usage/group-by-property?{MARCH}"
    answer = (await api.get(f"{path}&property=model")).json
    assert [(row["value"], str(row["total"]), row["count"]) for row in answer["data"]] == [
        ('a "b" \\u', "12345678901234567890.000000000000000001", 2),
        ("5", "8", 2),
        (None, "-2", 2),
    ]
    page = (await api.get(f"{path}&property=model&take=1&skip=1")).json
    assert (page["meta"], page["data"]) == ({"total": 3, "taken": 1, "skipped": 1}, answer["data"][1:2])
    await api.post("/v1/customers", {"external_id": "acme/1", "name": "Acme"})
    one = (await api.get(f"{path}&property=id&customer_id=acme%2F1")).json["data"]
    assert [(row["value"], row["count"]) for row in one] == [("2", 1), ("1", 1)]
    assert (await api.get(f"{path}&property=id&customer_id=nobody")).status == 404


@pytest.mark.parametrize("query", ["", "&property=", "&property=" + "x" * 300])
async def test_a_property_to_group_by_must_be_named(api, tokens, query):
    """Missing, empty or too long to be one: 400 that names the parameter."""
    refused = await api.get(f"/v1/aggregators/{tokens['id']}/usage/group-by-property?{MARCH}{query}")
    assert (refused.status, refused.paths) == (400, [["property"]])


async def test_a_property_with_too_many_values_is_refused(api, account, usage, tokens, monkeypatch):
    """422 says what to ask for instead; nothing is left out in silence."""
    monkeypatch.setattr("metering.store.usage.VALUES_GROUPED_MAX", 1)
    await usage.add(account, called("1", "a", "1"), called("2", "a", "2"))
    refused = await api.get(f"/v1/aggregators/{tokens['id']}/usage/group-by-property?{MARCH}&property=id")
    assert (refused.status, "shorter range" in refused.text) == (422, True)


async def an_aggregator(api, operation, **fields):
    body = {"name": operation, "entity": "call", "operation": operation, "property": "tokens", **fields}
    return (await api.post("/v1/aggregators", body)).json["id"]


@pytest.mark.parametrize(
    ("operation", "both", "alone"),
    [
        ("count", "3", "0"),
        ("sum", "13.5", "0"),
        ("max", "8", "null"),
        ("min", "0.5", "null"),
        ("average", "4.5", "null"),
        ("latest", "5", "null"),
        ("unique", "3", "0"),
        ("weighted_sum", "11", "0"),
    ],
)
async def test_each_operation_is_one_figure_in_every_way_of_asking(
    *, api, account, usage, customer, operation, both, alone
):
    """All ids of a customer are one customer; what there is none of is null, or 0."""
    aggregator = await an_aggregator(api, operation)
    await usage.add(
        account,
        called("1", "acme/1", "8", at=NOON - 9 * DAY),
        called("2", customer["id"], "0.5", at=NOON - 9 * DAY),
        called("3", "acme/1", "5", at=NOON + 22 * DAY - 31 * DAY // 2),
    )
    span = "start_date=2024-03-01T12:00Z&end_date=2024-04-01T12:00Z"
    path = f"/v1/customers/{customer['id']}/usage"
    await api.post("/v1/customers", {"external_id": "idle"})
    total = f'"total":{both}'
    nothing = f'"total":{alone}'
    for asked in (f"{path}?{span}", f"{path}/{aggregator}?{span}", f"/v1/aggregators/{aggregator}/usage?{span}"):
        assert total in (await api.get(asked)).text, asked
    assert nothing in (await api.get(f"/v1/customers/idle/usage/{aggregator}?{span}")).text
    grouped = await api.get(f"/v1/aggregators/{aggregator}/usage/group-by-customer?{span}")
    assert (total in grouped.text, grouped.json["meta"]["total"]) == (True, 1)
    for series in (f"{path}/{aggregator}/timeseries", f"/v1/aggregators/{aggregator}/usage/timeseries"):
        rows = (await api.get(f"{series}?{span}&granularity=year")).text
        assert total in rows, rows


async def test_customers_without_a_greatest_value_come_last(api, account, usage):
    """Their events hold no number: counted, and no total."""
    aggregator = await an_aggregator(api, "max")
    await usage.add(account, called("1", "a", '"x"'), called("2", "b", "-1"), called("3", "c", "2"))
    rows = (await api.get(f"/v1/aggregators/{aggregator}/usage/group-by-customer?{MARCH}")).json["data"]
    assert [(row["external_id"], row["total"], row["count"]) for row in rows] == [
        ("c", 2, 1),
        ("b", -1, 1),
        ("a", None, 1),
    ]


async def test_a_level_lasts_through_the_months_after_it(api, account, usage):
    """Two seats from the middle of March on: half of them in March, all in April, and May is not over for them."""
    aggregator = await an_aggregator(api, "weighted_sum")
    middle = microseconds(datetime(2024, 3, 16, 12, tzinfo=UTC))
    await usage.add(account, called("1", "a", "4", at=middle), called("2", "a", "-2", at=middle + 30 * DAY + DAY // 2))
    path = f"/v1/aggregators/{aggregator}/usage/timeseries?start_date=2024-02-01&end_date=2024-06-01&granularity=month"
    rows = (await api.get(path)).json
    assert [(str(row["total"]), row["count"]) for row in rows] == [("0", 0), ("2", 1), ("3", 1), ("2", 0)]
    may = f"/v1/aggregators/{aggregator}/usage/group-by-customer?start_date=2024-05-01&end_date=2024-06-01"
    assert [(row["total"], row["count"]) for row in (await api.get(may)).json["data"]] == [(2, 0)]


async def test_the_events_behind_a_figure_are_those_that_matched(api, account, usage, customer, large):
    """As events go out, newest first, of all the customer's ids, within the range and the aggregator's filter."""
    await usage.add(
        account,
        called("small", "acme/1", "9"),
        called("one", "acme/1", "10"),
        called("two", customer["id"], "10.50", at=NOON + 1),
        called("late", "acme/1", "10", at=NOON + 40 * DAY),
        called("other", "zeta", "10"),
    )
    path = f"/v1/customers/{customer['id']}/usage/{large['id']}/events?{MARCH}"
    answer = await api.get(path)
    assert [event["record_id"] for event in answer.json["data"]] == ["two", "one"]
    assert answer.json["meta"] == {"total": 2, "taken": 2, "skipped": 0}
    assert answer.json["data"][1]["record"] == {"id": "one", "tokens": 10}
    assert (await api.get(f"{path}&take=1&skip=1")).json["data"] == answer.json["data"][1:]


@pytest.mark.usefixtures("customer")
async def test_a_figure_can_be_had_again_as_it_stood(api, account, usage, tokens):
    """By the cut-off that came with it, and by a date-time; a correction since then does not move it."""
    early = datetime.now(UTC) - timedelta(hours=2)
    (first,) = await usage.add(account, called("1", "acme/1", "5"), at=early)
    path = f"/v1/customers/acme%2F1/usage/{tokens['id']}?{MARCH}"
    before = await api.get(path)
    cutoff = before.headers["X-Usage-Cutoff"]
    await usage.add(account, called("1", "acme/1", "8", at=NOON + 1), supersedes=first)
    assert (await api.get(path)).json["total"] == 8
    again = await api.get(f"{path}&as_of={cutoff}")
    assert (again.json, again.headers["X-Usage-Cutoff"]) == (before.json, cutoff)
    hour_ago = quote((datetime.now(UTC) - timedelta(hours=1)).isoformat())
    assert (await api.get(f"{path}&as_of={hour_ago}")).json["total"] == 5
    nothing = await api.get(f"{path}&as_of=1999-01-01")
    assert (nothing.json["total"], nothing.headers["X-Usage-Cutoff"]) == (0, "c1")
    for at in (len(cutoff) - 1, len(cutoff) - 4):
        assert (
            await api.get(f"{path}&as_of={cutoff[:at]}{'0' if cutoff[at] != '0' else '1'}{cutoff[at + 1 :]}")
        ).status == 400
        assert (await api.get(f"{path}&as_of={cutoff[:at]}")).status == 400
    assert (await api.get(f"{path}&as_of=c1")).json["total"] == 0


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("as_of=yesterday", ["as_of"]),
        ("as_of=c1-xyz", ["as_of"]),
        ("as_of=c1-", ["as_of"]),
        ("as_of=c1-5fff-5fff", ["as_of"]),
        ("as_of=c1-5FFF", ["as_of"]),
        ("as_of=c1-ffffffffffffffff", ["as_of"]),
        ("as_of=c1-" + "f" * 200, ["as_of"]),
        ("as_of=2999-01-01", ["as_of"]),
        ("as_of=0001-01-01T00:00%2B23:00", ["as_of"]),
        ("start_date=2024-03-01", ["end_date"]),
        ("start_date=2024-03-02&end_date=2024-03-01", ["start_date"]),
        ("start_date=x&end_date=2024-03-01", ["start_date"]),
        ("timezone=Mars", ["timezone"]),
    ],
)
async def test_a_bad_question_names_the_parameter(api, customer, tokens, query, path):
    """400 on every route that answers a figure."""
    for route in (
        f"/v1/customers/{customer['id']}/usage",
        f"/v1/customers/{customer['id']}/usage/{tokens['id']}",
        f"/v1/customers/{customer['id']}/usage/{tokens['id']}/timeseries",
        f"/v1/customers/{customer['id']}/usage/{tokens['id']}/events",
        f"/v1/aggregators/{tokens['id']}/usage",
        f"/v1/aggregators/{tokens['id']}/usage/timeseries",
        f"/v1/aggregators/{tokens['id']}/usage/group-by-customer",
    ):
        refused = await api.get(f"{route}?{query}")
        assert (refused.status, refused.paths[0]) == (400, path), route


@pytest.mark.parametrize("granularity", ["minute", "", "%00", "hour"])
async def test_a_bad_granularity_is_refused(api, customer, tokens, granularity):
    """Unknown, or finer than one answer carries; an empty one is none."""
    path = f"/v1/customers/{customer['id']}/usage/{tokens['id']}/timeseries"
    refused = await api.get(f"{path}?start_date=2000-01-01&end_date=2020-01-01&granularity={granularity}")
    assert refused.status == (200 if granularity == "" else 400)


async def test_who_or_what_is_unknown_is_not_found(api, customer, tokens):
    """404, also where only one of the two is missing."""
    for path in (
        "/v1/customers/nobody/usage",
        f"/v1/customers/nobody/usage/{tokens['id']}",
        f"/v1/customers/{customer['id']}/usage/nothing",
        f"/v1/customers/{customer['id']}/usage/nothing/timeseries",
        f"/v1/customers/{customer['id']}/usage/nothing/events",
        "/v1/aggregators/nothing/usage",
        "/v1/aggregators/nothing/usage/timeseries",
        "/v1/aggregators/nothing/usage/group-by-customer",
    ):
        assert (await api.get(path)).status == 404, path


async def test_a_cutoff_that_was_cut_short_is_refused(api, account, usage):
    """It would be an earlier one, and the figure another."""
    await usage.add(account, {"customer_id": "a"})
    cutoff = (await api.get("/v1/events")).headers["X-Usage-Cutoff"]
    assert (await api.get(f"/v1/events?as_of={cutoff}")).status == 200
    for changed in (cutoff[:-1], cutoff[:-2], cutoff + "0", cutoff.upper()):
        assert (await api.get(f"/v1/events?as_of={changed}")).status == 400, changed


async def test_a_figure_as_of_before_keeps_the_definition_of_then(api, account, usage, tokens, new_key):
    """By the cut-off that came with it, though no event came in between; every version is kept, with who and when."""
    await usage.add(account, called("1", "a", "5"), called("2", "a", "7"))
    path, figure = f"/v1/aggregators/{tokens['id']}", f"/v1/aggregators/{tokens['id']}/usage?{MARCH}"
    first = await api.get(figure)
    fields = {"operation": "max", "unit_name": "tokens", "allow_negative_values": True}
    changed = (await api("PUT", path, fields, key=(other := new_key()))).json
    assert (tokens["version"], changed["version"]) == (1, 2)
    second = await api.get(figure)
    await api.put(path, {"property": None, "formula_sql": "tokens * 2"})
    third = await api.get(figure)
    assert [answer.json["total"] for answer in (first, second, third)] == [12, 7, 14]
    for answer in (first, second, third):
        again = await api.get(f"{figure}&as_of={answer.headers['X-Usage-Cutoff']}")
        assert (again.json["total"], again.headers["X-Usage-Cutoff"]) == (
            answer.json["total"],
            answer.headers["X-Usage-Cutoff"],
        )
        for way in ("/timeseries", "/group-by-customer"):
            asked = f"{path}/usage{way}?{MARCH}&as_of={answer.headers['X-Usage-Cutoff']}&granularity=month"
            assert f'"total":{answer.json["total"]},' in (await api.get(asked)).text
    # A cut-off that names no definition stands for when it was reached: before the changes.
    bare = first.headers["X-Usage-Cutoff"].partition("@")[0]
    assert (await api.get(f"{figure}&as_of={bare}")).json["total"] == 12
    now = quote(datetime.now(UTC).isoformat())
    assert (await api.get(f"{figure}&as_of={now}")).json["total"] == 14
    versions = (await api.get(f"{path}/versions")).json
    assert versions["meta"] == {"total": 3, "taken": 3, "skipped": 0}
    rows = [(row["version"], row["operation"], row["property"], row["formula_sql"]) for row in versions["data"]]
    assert rows == [(3, "max", None, "tokens * 2"), (2, "max", "tokens", None), (1, "sum", "tokens", None)]
    assert [row["unit_name"] for row in versions["data"]] == ["tokens", "tokens", "token"]
    assert versions["data"][0]["changed_at"] >= versions["data"][1]["changed_at"] >= tokens["created_at"]
    assert other.startswith("test_")
    assert len({row["changed_by"] for row in versions["data"]}) == 2
    assert (await api.get(f"{path}/versions?take=1&skip=1")).json["data"] == versions["data"][1:2]


async def test_what_changes_nothing_is_no_version(api, tokens):
    """The object sent back as it came, and a change to what is there already."""
    path = f"/v1/aggregators/{tokens['id']}"
    assert (await api("PUT", path, data=(await api.get(path)).text.encode())).json["version"] == 1
    assert (await api.put(path, {"operation": "sum", "name": "Tokens", "description": None})).json["version"] == 1
    assert (await api.put(path, {"thresholds": [{"threshold_value": 5}]})).json["version"] == 2
    assert (await api.get("/v1/aggregators/nothing/versions")).status == 404


async def test_a_cutoff_that_names_an_unknown_definition_is_refused(api, account, usage, tokens):
    """It comes from another installation."""
    from zlib import crc32

    await usage.add(account, called("1", "a", "5"))
    path = f"/v1/aggregators/{tokens['id']}/usage"
    bare = (await api.get(path)).headers["X-Usage-Cutoff"].partition("@")[0]
    for named in ("ff", "zz", "1" * 16, ""):
        text = f"{bare}@{named}"
        refused = await api.get(f"{path}?as_of={text}.{crc32(text.encode()):08x}")
        assert (refused.status, refused.paths) == (400, [["as_of"]])
