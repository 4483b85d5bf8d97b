"""A query reads one collection, with whatever joins, or it is refused before it is sent."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from bson import Decimal128, Int64, ObjectId, Regex

from loaders.errors import QueryError
from loaders.sources.mongodb.query import Query, parse
from loaders.sources.mongodb.shape import named_fields

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
BOUND = {"last_run_at": NOON, "cursor": "$secret"}


def asked(parameters=None, /, **query):
    """Parse a query given as keywords."""
    return parse(json.dumps({"collection": "orders"} | query), BOUND if parameters is None else parameters)


@pytest.mark.parametrize("name", ["find", "filter", "query"])
def test_a_find_is_a_filter_and_its_options(name):
    """Under each of its names."""
    found = asked(**{name: {"a": {"$gt": 1}}}, projection={"a": 1}, sort={"a": -1, "b": 1}, limit=5, skip=2)
    options = {"limit": 5, "projection": {"a": 1}, "skip": 2, "sort": {"a": -1, "b": 1}}
    assert found == Query("orders", None, {"a": {"$gt": 1}}, options)


def test_a_collection_alone_is_all_of_it():
    """Nothing else need be said."""
    assert asked() == Query("orders", None)


@pytest.mark.parametrize("name", ["aggregate", "pipeline"])
def test_an_aggregate_is_a_pipeline(name):
    """With its joins as they are."""
    lookup = {"from": "customers", "let": {"c": "$customer"}, "as": "c", "pipeline": [{"$match": {"a": 1}}]}
    stages = [{"$lookup": lookup}, {"$unwind": "$c"}, {"$project": {"id": "$_id"}}]
    assert asked(**{name: stages}) == Query("orders", stages)


def test_stages_may_stand_beside_the_collection():
    """In the order in which they are written."""
    stages = {"$match": {"a": 1}, "$lookup": {"from": "customers", "as": "c"}, "$project": {"id": "$_id"}}
    assert asked(**stages).pipeline == [{name: value} for name, value in stages.items()]


def test_values_of_extended_json_are_typed():
    """As MongoDB writes them."""
    text = """{"collection": "orders", "find": {"_id": {"$oid": "65a000000000000000000001"},
        "at": {"$gte": {"$date": "2026-01-31T12:00:00Z"}}, "price": {"$numberDecimal": "1.50"},
        "count": {"$numberLong": "9223372036854775807"}, "name": {"$regex": "^a", "$options": "i"},
        "other": {"$regularExpression": {"pattern": "b", "options": ""}}}}"""
    found = parse(text, {}).filter
    assert found["_id"] == ObjectId("65a000000000000000000001")
    assert found["at"] == {"$gte": NOON}
    assert found["price"] == Decimal128("1.50")
    assert found["count"] == Int64(2**63 - 1)
    assert found["name"] == {"$regex": "^a", "$options": "i"}
    assert found["other"] == Regex("b")


@pytest.mark.parametrize(
    ("value", "bound"),
    [(NOON, NOON), (5, 5), ("x", "x"), (Decimal("1.50"), Decimal128("1.50")), ('"}, "$where": "1', '"}, "$where": "1')],
)
def test_a_parameter_is_bound_as_what_it_is(value, bound):
    """In a filter it is a value whatever it holds."""
    assert asked({"cursor": value}, find={"a": {"$gt": "{{cursor}}"}}).filter == {"a": {"$gt": bound}}


def test_a_parameter_in_an_expression_is_a_literal():
    """Or a text that begins with a dollar would name a field, and a number in a projection be a flag."""
    stages = [
        {"$match": {"a": "{{cursor}}", "$expr": {"$gt": ["$a", "{{cursor}}"]}}},
        {"$project": {"id": "{{cursor}}"}},
        {
            "$lookup": {
                "from": "b",
                "let": {"x": "{{cursor}}"},
                "as": "b",
                "pipeline": [{"$match": {"c": "{{cursor}}"}}],
            }
        },
    ]
    literal = {"$literal": "$secret"}
    matched, projected, joined = asked(aggregate=stages).pipeline
    assert matched == {"$match": {"a": "$secret", "$expr": {"$gt": ["$a", literal]}}}
    assert projected == {"$project": {"id": literal}}
    assert joined["$lookup"]["let"] == {"x": literal}
    assert joined["$lookup"]["pipeline"] == [{"$match": {"c": "$secret"}}]


@pytest.mark.parametrize(
    ("wrapper", "value", "bound"),
    [
        ("$oid", "65a000000000000000000001", ObjectId("65a000000000000000000001")),
        ("$date", NOON, NOON),
        ("$numberDecimal", "1.5", Decimal128("1.5")),
        ("$numberLong", 7, Int64(7)),
        ("$date", "2026-01-31T12:00:00Z", NOON),
    ],
)
def test_a_parameter_may_be_given_a_type(wrapper, value, bound):
    """A cursor of ids comes back as text."""
    assert asked({"cursor": value}, find={"a": {"$gt": {wrapper: "{{cursor}}"}}}).filter == {"a": {"$gt": bound}}


@pytest.mark.parametrize(
    ("filter_", "words"),
    [
        ({"a": "{{nobody}}"}, "last_run_at"),
        ({"a": "since {{cursor}}"}, "stands alone"),
        ({"a": "{{cursor}}{{cursor}}"}, "last_run_at|stands alone"),
        ({"{{cursor}}": 1}, "not of a name"),
        ({"a": {"$oid": "{{cursor}}"}}, "cannot be a"),
        ({"a": {"$code": "{{cursor}}"}}, "cannot be a"),
    ],
)
def test_a_parameter_that_cannot_be_bound_is_told(filter_, words):
    """With the place and what to do."""
    with pytest.raises(QueryError, match=words):
        asked(find=filter_)


def test_a_parameter_without_a_value_is_told():
    """Such as a cursor that the loader has none of."""
    with pytest.raises(QueryError, match=r"find\.a .*no value"):
        asked({}, find={"a": "{{cursor}}"})


ID = {"$project": {"id": "$_id"}}
HOSTILE = {
    "writes": {"aggregate": [{"$out": "stolen"}]},
    "writes elsewhere": {"aggregate": [{"$out": {"db": "other", "coll": "stolen"}}]},
    "merges": {"aggregate": [ID, {"$merge": {"into": "orders"}}]},
    "writes in a join": {"aggregate": [{"$lookup": {"from": "a", "as": "a", "pipeline": [{"$out": "b"}]}}]},
    "writes in a union": {"aggregate": [{"$unionWith": {"coll": "a", "pipeline": [{"$merge": {"into": "b"}}]}}]},
    "writes in a facet": {"aggregate": [{"$facet": {"a": [{"$out": "b"}]}}]},
    "writes two joins deep": {
        "aggregate": [
            {
                "$lookup": {
                    "from": "a",
                    "as": "a",
                    "pipeline": [{"$lookup": {"from": "b", "as": "b", "pipeline": [{"$merge": "c"}]}}],
                }
            }
        ]
    },
    "writes beside the collection": {"$match": {}, "$out": "stolen"},
    "code in a filter": {"find": {"$where": "sleep(1000000)"}},
    "code deep in a filter": {"find": {"$and": [{"a": 1}, {"$or": [{"$where": "1"}]}]}},
    "code in a match": {"aggregate": [{"$match": {"$where": "1"}}]},
    "code as a value": {"find": {"a": {"$code": "function() { while (1) {} }"}}},
    "code under an operator": {"find": {"a": {"$gt": {"$code": "1"}}}},
    "a function": {"aggregate": [{"$project": {"x": {"$function": {"body": "1", "args": [], "lang": "js"}}}}]},
    "a function in a filter": {"find": {"$expr": {"$function": {"body": "1", "args": [], "lang": "js"}}}},
    "a function in a list": {"aggregate": [{"$set": {"x": [1, {"$function": {"body": "1"}}]}}]},
    "a function in a projection": {"find": {}, "projection": {"x": {"$function": {"body": "1"}}}},
    "a function in a join": {"aggregate": [{"$lookup": {"from": "a", "as": "a", "let": {"x": {"$function": {}}}}}]},
    "a function in let": {"find": {}, "let": {"x": {"$function": {"body": "1"}}}},
    "an accumulator": {"aggregate": [{"$group": {"_id": 1, "x": {"$accumulator": {"init": "1"}}}}]},
    "an accumulator in a bucket": {
        "aggregate": [{"$bucket": {"groupBy": "$a", "boundaries": [0, 1], "output": {"x": {"$accumulator": {}}}}}]
    },
    "map and reduce": {"mapReduce": "orders", "map": "1", "reduce": "1"},
    "what else runs": {"aggregate": [{"$currentOp": {"allUsers": True}}]},
    "sessions": {"aggregate": [{"$listSessions": {}}]},
    "local sessions": {"aggregate": [{"$listLocalSessions": {}}]},
    "statistics": {"aggregate": [{"$collStats": {"storageStats": {}}}]},
    "indexes": {"aggregate": [{"$indexStats": {}}]},
    "plans": {"aggregate": [{"$planCacheStats": {}}]},
    "queries of others": {"aggregate": [{"$queryStats": {}}]},
    "a stream that never ends": {"aggregate": [{"$changeStream": {}}]},
    "the catalogue": {"aggregate": [{"$listCatalog": {}}]},
    "shards": {"aggregate": [{"$shardedDataDistribution": {}}]},
    "internals": {"aggregate": [{"$_internalInhibitOptimization": {}}]},
    "internal operators": {"aggregate": [{"$project": {"x": {"$_internalJsEmit": {"eval": "1"}}}}]},
    "a stage nobody knows": {"aggregate": [{"$newInVersion99": {}}]},
    "two stages in one": {"aggregate": [{"$match": {}, "$out": "stolen"}]},
    "no stage": {"aggregate": ["$out"]},
    "a pipeline that is none": {"aggregate": {"$out": "stolen"}},
    "users": {"collection": "system.users"},
    "profiles": {"collection": "system.profile", "aggregate": []},
    "commands": {"collection": "$cmd", "find": {"dropDatabase": 1}},
    "commands by another name": {"collection": "$cmd.aggregate"},
    "no collection": {"collection": 1, "aggregate": []},
    "an empty collection": {"collection": ""},
    "a collection of another database": {"collection": {"db": "admin", "coll": "x"}},
    "a collection by parameter": {"collection": "{{cursor}}"},
    "a join with users": {"aggregate": [{"$lookup": {"from": "system.users", "as": "x"}}]},
    "a join with another database": {"aggregate": [{"$lookup": {"from": {"db": "admin", "coll": "x"}, "as": "x"}}]},
    "a union with users": {"aggregate": [{"$unionWith": "system.users"}]},
    "a union with another database": {"aggregate": [{"$unionWith": {"db": "admin", "coll": "x"}}]},
    "a graph through another database": {"aggregate": [{"$graphLookup": {"from": {"db": "a", "coll": "b"}}}]},
    "a graph with code": {
        "aggregate": [{"$graphLookup": {"from": "a", "restrictSearchWithMatch": {"$where": "1"}, "as": "x"}}]
    },
    "a join with nobody": {"aggregate": [{"$lookup": {"as": "x", "pipeline": []}}]},
    "another command": {"delete": "orders", "deletes": []},
    "another command after a find": {"find": {}, "findAndModify": "orders"},
    "a comment that hides": {"find": {}, "comment": "x", "$comment": "y"},
    "options of the driver": {"find": {}, "cursor_type": 2, "max_time_ms": 0},
    "no limit of time": {"find": {}, "maxTimeMS": 0},
    "a tailable cursor": {"find": {}, "tailable": True, "awaitData": True},
    "two queries": {"find": {}, "aggregate": []},
    "a negative limit": {"find": {}, "limit": -1},
    "a limit by text": {"find": {}, "limit": "5"},
}


@pytest.mark.parametrize("query", HOSTILE.values(), ids=HOSTILE)
def test_what_does_more_than_read_is_refused(query):
    """Before anything is sent, wherever in the query it stands."""
    with pytest.raises(QueryError):
        asked(**query)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SELECT 1", "no JSON.*line 1, column 1"),
        ("[]", "no object"),
        ('{"collection": "a", "find": {"b": NaN}}', "NaN"),
        ('{"collection": "a", "find": {"b": 1, "b": 2}}', "'b' twice"),
        ('{"collection": "a", "find": {"b": {"$oid": "x"}}}', "oid"),
        ('{"collection": "a", "find": {"b": {"$date": "yesterday"}}}', "date"),
        ('{"collection": "a", "find": {"b": {"$numberDecimal": "x"}}}', "numberDecimal"),
        ('{"collection": "a", "aggregate": [{"$out": "b"}]}', r"aggregate\[0\] is \$out.*only stages that read"),
        ('{"collection": "a", "aggregate": [], "limit": 5}', r"\$limit"),
        ('{"find": {}}', "'collection' is missing"),
        ("[" * 50_000, "nested too deeply|no JSON"),
        ('{"collection": "a", "find": ' + '{"b": ' * 900 + "1" + "}" * 901, "nested too deeply"),
        (" " * 100_001, "characters"),
    ],
)
def test_what_is_no_query_is_told_with_the_place(text, words):
    """And the remedy, if there is one."""
    with pytest.raises(QueryError, match=words):
        parse(text, {})


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({"find": {}}, None),
        ({"find": {}, "projection": {"id": "$_id", "_id": 0, "a.b": 1}}, ["id", "a"]),
        ({"find": {}, "projection": {"a": 1}}, ["_id", "a"]),
        ({"find": {}, "projection": {"a": 0}}, None),
        ({"aggregate": [{"$match": {}}]}, None),
        ({"aggregate": [ID, {"$sort": {"id": 1}}, {"$set": {"x": 1}}]}, ["_id", "id", "x"]),
        ({"aggregate": [ID, {"$project": {"_id": 0}}]}, ["id"]),
        ({"aggregate": [{"$group": {"_id": "$a", "n": {"$sum": 1}}}]}, ["_id", "n"]),
        ({"aggregate": [ID, {"$lookup": {"from": "b", "as": "b"}}]}, ["_id", "id", "b"]),
        ({"aggregate": [ID, {"$replaceRoot": {"newRoot": "$x"}}]}, None),
        ({"aggregate": [{"$count": "n"}]}, ["n"]),
    ],
)
def test_a_query_tells_its_fields_where_it_names_them(query, fields):
    """For a result without documents."""
    assert named_fields(asked(**query)) == fields
