"""Queries as users write them, against a server of MongoDB's protocol and aggregation."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from bson import Decimal128, ObjectId

from loaders.errors import QueryError, SourceDeniedError
from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.opening import open_source
from loaders.provider import Address, Provider
from loaders.source import ABSENT
from tests.loaders.mongodb.test_query import HOSTILE
from tests.peers.mongo.server import Mongo

pytestmark = pytest.mark.slow

IDS = [ObjectId(f"65a00000000000000000000{n}") for n in range(1, 5)]
AT = [datetime(2026, 1, n, 12, tzinfo=UTC) for n in range(1, 5)]
CUSTOMERS = [{"_id": "c1", "name": "Ada"}, {"_id": "c2", "name": "Grace"}]
ORDERS = [
    {"_id": IDS[0], "customer": "c1", "at": AT[0], "amount": Decimal128("1.50")},
    {"_id": IDS[1], "customer": "c2", "at": AT[1], "amount": Decimal128("2.25")},
    {"_id": IDS[2], "customer": "c1", "at": AT[2], "amount": Decimal128("0.25"), "note": "late"},
    {"_id": IDS[3], "customer": "c9", "at": AT[3], "amount": 7},
]
NAMED = {"_id": 0, "id": "$_id", "customerId": "$customer", "timestamp": "$at", "amount": 1}


@pytest.fixture(scope="module")
def server():
    """One for all tests of this file."""
    with Mongo() as started:
        yield started


@pytest.fixture
def opened(server):
    """A source on a fresh database."""
    with server.client() as client:
        client.drop_database("shop")
        client.shop.orders.insert_many(ORDERS)
        client.shop.customers.insert_many(CUSTOMERS)
        client.shop.empty.insert_one({})
        client.shop.empty.delete_many({})
    source = open_source(Address(Provider.MONGODB, server.url("shop")), HostPolicy(), SourceLimits())
    yield source
    source.close()


def rows(source, parameters=None, /, **query):
    """Run a query; give its rows as dictionaries of cells, without those that are absent."""
    text = json.dumps({"collection": "orders"} | query)
    found = []
    for page in source.pages(text, parameters or {}, page_rows_max=3):
        names = [column.name for column in page.columns]
        found += [dict(zip(names, cells, strict=True)) for cells in zip(*page.cells, strict=True)]
    return [{name: cell for name, cell in row.items() if cell != ABSENT} for row in found]


def test_a_join_gives_the_customers_name(opened):
    """With what is computed on the way."""
    pipeline = [
        {"$lookup": {"from": "customers", "localField": "customer", "foreignField": "_id", "as": "c"}},
        {"$unwind": {"path": "$c", "preserveNullAndEmptyArrays": True}},
        {"$sort": {"at": 1}},
        {"$project": NAMED | {"customerName": "$c.name"}},
    ]
    found = rows(opened, aggregate=pipeline)
    assert [row.get("customerName") for row in found] == ['"Ada"', '"Grace"', '"Ada"', None]
    assert found[0] == {
        "id": '"65a000000000000000000001"',
        "customerId": '"c1"',
        "timestamp": '"2026-01-01T12:00:00.000000Z"',
        "amount": "1.50",
        "customerName": '"Ada"',
    }


def test_a_join_with_a_pipeline_and_variables(opened):
    """The other form of $lookup."""
    inner = [{"$match": {"$expr": {"$eq": ["$_id", "$$wanted"]}}}, {"$project": {"name": 1}}]
    pipeline = [
        {"$lookup": {"from": "customers", "let": {"wanted": "$customer"}, "pipeline": inner, "as": "c"}},
        {"$unwind": "$c"},
        {"$group": {"_id": "$c.name", "amount": {"$sum": "$amount"}}},
        {"$project": {"_id": 0, "id": "$_id", "amount": 1}},
    ]
    found = {row["id"]: row["amount"] for row in rows(opened, aggregate=pipeline)}
    assert found == {'"Ada"': "1.75", '"Grace"': "2.25"}


def test_a_find_with_all_its_options(opened):
    """Sorted, skipped, limited."""
    found = rows(opened, find={"customer": "c1"}, projection={"_id": 0, "id": "$_id", "note": 1}, sort={"at": -1})
    assert [row.get("note") for row in found] == ['"late"', None]
    assert len(rows(opened, sort={"at": 1}, skip=1, limit=2, projection={"_id": 0, "at": 1})) == 2


@pytest.mark.parametrize(
    ("field", "written", "value", "after"),
    [
        ("at", "{{cursor}}", AT[1], 2),
        ("at", "{{last_run_at}}", AT[2], 1),
        ("_id", {"$oid": "{{cursor}}"}, str(IDS[0]), 3),
        ("amount", "{{cursor}}", Decimal("1.5"), 2),
        ("customer", "{{cursor}}", "c1", 2),
    ],
)
def test_a_run_reads_on_after_its_cursor(opened, field, written, value, after):
    """By dates, ids, numbers and text, in a find and in an aggregate, in a filter and in an expression."""
    bound = {"cursor": value, "last_run_at": value}
    shown = {"_id": 0, "customer": 1}
    above = {field: {"$gt": written}}
    expressed = {"$expr": {"$gt": [f"${field}", written]}}
    assert len(rows(opened, bound, find=above, projection=shown)) == after
    assert len(rows(opened, bound, aggregate=[{"$match": above}, {"$project": shown}])) == after
    assert len(rows(opened, bound, aggregate=[{"$match": expressed}, {"$project": shown}])) == after


def test_an_id_that_is_not_named_is_told_with_the_remedy(opened):
    """A document's own is `_id`."""
    with pytest.raises(QueryError, match=r'no id.*"\$project": \{"id": "\$_id"'):
        rows(opened)


def test_a_field_that_no_document_has_is_no_column(opened):
    """So that its absence is told by whoever needs it."""
    (page,) = opened.pages(
        json.dumps({"collection": "orders", "find": {}, "projection": {"_id": 0, "at": 1, "nowhere": 1}}),
        {},
        page_rows_max=10,
    )
    assert [column.name for column in page.columns] == ["at"]


def test_a_collection_that_is_not_there_is_told_from_one_that_is_empty(opened):
    """MongoDB itself says nothing of either."""
    assert rows(opened, collection="empty", aggregate=[{"$project": NAMED}]) == []
    with pytest.raises(QueryError, match="no collection 'ordres'"):
        rows(opened, collection="ordres")


def test_an_empty_result_without_a_projection_misses_nothing(opened):
    """Nobody can tell which fields documents would have had."""
    (page,) = opened.pages('{"collection": "empty"}', {}, page_rows_max=10)
    assert [column.name for column in page.columns] == ["id", "customerId", "timestamp"]


def test_a_query_that_the_server_refuses_is_told_in_its_words(opened):
    """With nothing of ours."""
    with pytest.raises(QueryError, match=r"MongoDB refused the query: .*no_such_operator"):
        rows(opened, aggregate=[{"$project": {"x": {"$no_such_operator": 1}}}])


def test_hostile_queries_do_nothing(server, opened):
    """The data is what it was, and so are the collections."""

    def everything():
        with server.client() as client:
            return {name: list(client.shop[name].find()) for name in client.shop.list_collection_names()}

    before = everything()
    for query in HOSTILE.values():
        with pytest.raises(QueryError):
            rows(opened, **query)
    assert everything() == before


def test_tls_holds_the_certificate_against_the_name_that_the_url_has(monkeypatch):
    """Though an address is dialled that the name had when it was judged."""
    with Mongo(tls=True) as server:

        def pinged(url, **limits):
            source = open_source(Address(Provider.MONGODB, url), HostPolicy(), SourceLimits(**limits))
            try:
                source.ping()
            finally:
                source.close()

        url = server.url("shop", tls="true")
        monkeypatch.setenv("SSL_CERT_FILE", str(server.ca))
        pinged(url, connect_s_max=60)
        with pytest.raises(SourceDeniedError, match=r"(?i)certificate"):
            pinged(url.replace("localhost", "127.0.0.1"), connect_s_max=5)
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(SourceDeniedError, match=r"(?i)certificate"):
            pinged(url, connect_s_max=5)
