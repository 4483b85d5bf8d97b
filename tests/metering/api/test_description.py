import json
import re
from html.parser import HTMLParser

import pytest

from metering.http.openapi import describe
from metering.http.route import Route
from metering.http.scope import Scope
from metering.http.shapes import TEXT, object_of


def references(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


async def test_the_description_names_every_route_and_every_reference_leads_somewhere(api, table):
    """OpenAPI 3.1: each route once with its path parameters, security and a success; ids are unique."""
    answer = await api("GET", "/openapi.json", key=None)
    document = json.loads(answer.text)
    assert document["openapi"].startswith("3.1")
    assert document["info"]["version"] == "1.2.3"
    ids = set()
    for route in table:
        operation = document["paths"][route.path][route.method.lower()]
        ids.add(operation["operationId"])
        names = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
        assert names == set(re.findall(r"\{(\w+)\}", route.path))
        assert str(route.status) in operation["responses"]
        assert bool(operation["security"]) == (route.scope is not None)
        assert ("requestBody" in operation) == (route.body is not None)
    assert len(ids) == len(table) == sum(len(methods) for methods in document["paths"].values())
    for reference in references(document):
        target = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]


async def test_every_answer_has_the_shape_that_is_described(api, account, usage):
    """What the table declares of customers and aggregators is what comes back."""
    document = json.loads((await api.get("/openapi.json")).text)
    customer = (await api.post("/v1/customers", {"name": "A"})).json
    aggregator = (await api.post("/v1/aggregators", {"name": "A", "entity": "call", "operation": "count"})).json
    await usage.add(account, {"customer_id": customer["id"]})
    event = (await api.get("/v1/events")).json["data"][0]
    version = (await api.get("/v1/events/call/r1/versions")).json["data"][0]
    row = (await api.get(f"/v1/customers/{customer['id']}/usage")).json[0]
    one = (await api.get(f"/v1/customers/{customer['id']}/usage/{aggregator['id']}")).json
    everybody = (await api.get(f"/v1/aggregators/{aggregator['id']}/usage")).json
    window = (await api.get(f"/v1/aggregators/{aggregator['id']}/usage/timeseries")).json[0]
    for name, answered in {
        "Customer": customer,
        "Aggregator": aggregator,
        "AggregatorVersion": (await api.get(f"/v1/aggregators/{aggregator['id']}/versions")).json["data"][0],
        "Event": event,
        "EventVersion": version,
        "UsageRow": row,
        "Usage": one,
        "AggregatorUsage": everybody,
        "UsageWindow": window,
        "Error": (await api.get("/v1/customers/nobody")).json,
    }.items():
        assert set(document["components"]["schemas"][name]["properties"]) == set(answered), name


def test_two_shapes_of_one_name_are_a_mistake():
    """The table would describe one of them wrongly."""
    one = Route("GET", "/a", Scope.READ, None, "", "", answer=object_of({"a": TEXT}, title="Thing"))
    other = Route("GET", "/b", Scope.READ, None, "", "", answer=object_of({"b": TEXT}, title="Thing"))
    with pytest.raises(AssertionError, match="Thing"):
        describe([one, other], "1")


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.ids = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]


async def test_the_page_shows_every_route_without_scripts(api, table):
    """Needs no key, loads nothing, and its policy would not let it."""
    answer = await api("GET", "/docs", key=None)
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    page = _Page()
    page.feed(answer.text)
    assert page.tags.count("article") == len(table)
    assert not {"script", "img", "link", "iframe"} & set(page.tags)
    assert len(page.ids) == len(set(page.ids))
    for route in table:
        assert f"<code>{route.path}</code>" in answer.text


async def test_health_needs_no_key(api):
    """Both tell that they are well, and nothing else."""
    for path in ("/healthz", "/readyz"):
        answer = await api("GET", path, key=None)
        assert (answer.status, answer.json) == (200, {"status": "ok"})


async def test_not_ready_without_a_registry(api, registry):
    """503 names the part; the process itself still runs."""
    with registry.engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
    registry.engine.dispose()
    original, registry.reading = registry.reading, _failing
    try:
        answer = await api("GET", "/readyz", key=None)
    finally:
        registry.reading = original
    assert answer.status == 503
    assert "registry" in answer.json["message"]
    assert answer.headers["Retry-After"]
    assert (await api("GET", "/healthz", key=None)).status == 200


def _failing():
    from metering.errors import RegistryUnavailableError

    raise RegistryUnavailableError("gone")
