import pytest

from metering.aggregation import Operation

TOKENS = {"name": "Tokens", "entity": "call", "operation": "sum", "property": "tokens", "unit_name": "token"}


async def test_a_created_aggregator_comes_back_with_every_documented_field(api):
    """201 and the object; the filter is given back as it was written."""
    where = {"conditional": "or", "fields": [{"property": "m", "operator": "notIn", "value": "a,b", "more": 1}]}
    sent = {
        **TOKENS,
        "where": where,
        "thresholds": [{"name": "high", "threshold_value": 1.5, "comparison_operator": "gte"}],
        "unheard_of": 1,
    }
    made = await api.post("/v1/aggregators", sent)
    assert made.status == 201
    aggregator = made.json
    assert aggregator["id"].startswith("agg_")
    assert {name: aggregator[name] for name in TOKENS} == TOKENS
    assert aggregator["where"]["fields"] == [{"property": "m", "operator": "notIn", "value": "a,b"}]
    assert str(aggregator["thresholds"][0]["threshold_value"]) == "1.5"
    assert (aggregator["type"], aggregator["status"], aggregator["exposed_event_keys"]) == ("metered", "active", [])
    assert "unheard_of" not in aggregator
    assert (await api.get(f"/v1/aggregators/{aggregator['id']}")).json == aggregator


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"name": None}, ["name"]),
        ({"entity": ""}, ["entity"]),
        ({"entity": "a\nb"}, ["entity"]),
        ({"operation": "median"}, ["operation"]),
        ({"formula_sql": "tokens * 2"}, ["formula_sql"]),
        ({"formula_sql": "tokens *", "property": None}, ["formula_sql"]),
        ({"formula_sql": "(" * 100_000, "property": None}, ["formula_sql"]),
        ({"formula_sql": 7, "property": None}, ["formula_sql"]),
        ({"operation": 7}, ["operation"]),
        ({"property": None}, ["property"]),
        ({"property": 7}, ["property"]),
        ({"where": []}, ["where"]),
        ({"where": {"conditional": "xor"}}, ["where", "conditional"]),
        ({"where": {"conditional": {}}}, ["where", "conditional"]),
        ({"where": {"conditional": []}}, ["where", "conditional"]),
        ({"where": {"fields": None}}, ["where", "fields"]),
        ({"where": {"fields": [{"property": "x", "operator": "gt", "value": "y"}]}}, ["where", "fields", 0, "value"]),
        ({"where": {"fields": [{"property": "x", "operator": "like"}]}}, ["where", "fields", 0, "operator"]),
        ({"where": {"fields": [{"property": "x", "operator": {}}]}}, ["where", "fields", 0, "operator"]),
        ({"thresholds": [{"name": "x"}]}, ["thresholds", 0, "threshold_value"]),
        ({"thresholds": [7]}, ["thresholds", 0]),
        ({"exposed_event_keys": [7]}, ["exposed_event_keys", 0]),
        ({"default_interval_count": 0}, ["default_interval_count"]),
        ({"default_interval_period": "eons"}, ["default_interval_period"]),
        ({"allow_negative_values": "no"}, ["allow_negative_values"]),
    ],
)
async def test_a_bad_field_is_named_by_its_path(api, changes, path):
    """400, one fault, whether the aggregator is new or changed; nothing is kept."""
    refused = await api.post("/v1/aggregators", {**TOKENS, **changes})
    assert (refused.status, refused.paths) == (400, [path])
    made = (await api.post("/v1/aggregators", TOKENS)).json
    refused = await api.put(f"/v1/aggregators/{made['id']}", changes)
    assert (refused.status, refused.paths) == (400, [path])
    assert (await api.get(f"/v1/aggregators/{made['id']}")).json == made


async def test_what_is_needed_is_named(api):
    """A name, an entity and an operation; a property where the operation adds up."""
    assert (await api.post("/v1/aggregators", {})).paths == [["name"], ["entity"], ["operation"]]
    counted = {"name": "Calls", "entity": "call", "operation": "count"}
    made = await api.post("/v1/aggregators", counted)
    assert (made.status, made.json["property"]) == (201, None)
    refused = await api.put(f"/v1/aggregators/{made.json['id']}", {"operation": "sum"})
    assert refused.paths == [["property"]]


@pytest.mark.parametrize("operation", list(Operation))
async def test_each_operation_is_served(api, operation):
    """All but counting need a property."""
    body = {"name": "A", "entity": "call", "operation": operation}
    alone = await api.post("/v1/aggregators", body)
    if operation is not Operation.COUNT:
        assert (alone.status, alone.paths) == (400, [["property"]])
        alone = await api.post("/v1/aggregators", {**body, "property": "tokens"})
    assert (alone.status, alone.json["operation"]) == (201, operation)


async def test_a_formula_takes_the_place_of_a_property(api, account, usage):
    """Given back as it was written; a fault in it is told with its place."""
    where = {"fields": [{"property": "model", "operator": "isNotNull"}]}
    formula = "if(model = 'large', 3 * tokens, tokens) / 7"
    body = {"name": "Credits", "entity": "call", "operation": "sum", "formula_sql": formula, "where": where}
    made = await api.post("/v1/aggregators", body)
    assert (made.status, made.json["formula_sql"], made.json["property"]) == (201, formula, None)
    for record_id, record in (("1", b'{"model":"large","tokens":5}'), ("2", b'{"model":"small","tokens":1}')):
        await usage.add(account, {"record_id": record_id, "customer_id": "a", "properties": record})
    answer = await api.get(f"/v1/aggregators/{made.json['id']}/usage?start_date=2023-11-01&end_date=2023-12-01")
    assert '"total":2.285714285714285714,"count":2' in answer.text
    refused = await api.put(f"/v1/aggregators/{made.json['id']}", {"formula_sql": "tokens + sleep(9)"})
    assert refused.json["message"].startswith("formula_sql: at character 10: there is no function 'sleep'")
    changed = await api.put(f"/v1/aggregators/{made.json['id']}", {"formula_sql": None, "property": "tokens"})
    assert (changed.json["formula_sql"], changed.json["property"]) == (None, "tokens")


async def test_a_change_touches_what_was_sent_alone(api, above):
    """Also while a product uses it; and the object may be sent back as it came."""
    made = (await api.post("/v1/aggregators", {**TOKENS, "description": "x"})).json
    path = f"/v1/aggregators/{made['id']}"
    above.aggregators.add(made["id"])
    changed = (await api.put(path, {"name": "Tokens 2", "description": None, "status": "archived"})).json
    assert (changed["name"], changed["description"], changed["status"]) == ("Tokens 2", None, "archived")
    assert changed["property"] == "tokens"
    again = (await api("PUT", path, data=(await api.get(path)).text.encode())).json
    assert {**again, "updated_at": None} == {**changed, "updated_at": None}


async def test_an_aggregator_is_deleted_unless_a_product_uses_it(api, above):
    """409 names the product, 204 otherwise."""
    made = (await api.post("/v1/aggregators", TOKENS)).json
    path = f"/v1/aggregators/{made['id']}"
    above.aggregators.add(made["id"])
    refused = await api("DELETE", path)
    assert refused.status == 409
    assert "product itm_1" in refused.json["message"]
    above.aggregators.clear()
    assert (await api("DELETE", path)).status == 204
    for method in ("GET", "DELETE", "PUT"):
        assert (await api(method, path, {} if method == "PUT" else None)).status == 404


async def test_lists_are_filtered_and_paged(api):
    """Newest first; an aggregator always has a name, so it cannot be asked whether that is null."""
    for name in ("one", "two", "three"):
        await api.post("/v1/aggregators", {**TOKENS, "name": name})
    listed = (await api.get("/v1/aggregators?take=2")).json
    assert [row["name"] for row in listed["data"]] == ["three", "two"]
    assert listed["meta"] == {"total": 3, "taken": 2, "skipped": 0}
    assert [row["name"] for row in (await api.get("/v1/aggregators?name__in=one,two")).json["data"]] == ["two", "one"]
    assert (await api.get("/v1/aggregators?name__isNull=true")).status == 400
