"""MongoDB's protocol and aggregation, by mongo-java-server: without users, and dates to the millisecond."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from bson import Decimal128, Int64

from loaders.provider import Address, Provider
from tests.peers.mongo.server import Mongo

DATABASE = "shop"
INSERT_ROWS = 20_000
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


class Peer:
    """One server, one database."""

    def __init__(self):
        self.server = Mongo()
        self.numbers = 0

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *_):
        self.server.__exit__()

    def address(self):
        return Address(Provider.MONGODB, self.server.url(DATABASE))

    def load(self, table, columns, rows):
        with self.server.client() as client:
            collection = client[DATABASE][table]
            collection.drop()
            client[DATABASE].create_collection(table)
            documents = [{name: _bson(value) for name, value in zip(columns, row, strict=True)} for row in rows]
            if documents:
                collection.insert_many(documents)

    def query(self, table, columns, where=None):
        operator = {"=": "$eq", ">": "$gt"}
        condition = {where.column: {operator[where.operator]: f"{{{{{where.parameter}}}}}"}} if where else {}
        projection = {"_id": 0, **dict.fromkeys(columns, 1)}
        return json.dumps({"collection": table, "find": condition, "projection": projection, "sort": {"id": 1}})

    def numbered(self, rows):
        with self.server.client() as client:
            for first in range(self.numbers, rows, INSERT_ROWS):
                client[DATABASE].numbered.insert_many(
                    {
                        "_id": number,
                        "id": number,
                        "customerId": f"customer {number % 100}",
                        "timestamp": FIRST + timedelta(seconds=number),
                        "amount": Decimal128(str(number * Decimal("0.25"))),
                    }
                    for number in range(first + 1, first + INSERT_ROWS + 1)
                )
                self.numbers = first + INSERT_ROWS
        return json.dumps({"collection": "numbered", "limit": rows})

    def running(self):
        return self.server.cursors()

    def kill(self):
        self.server.kill()

    def start(self):
        self.server.start()
        self.numbers = 0  # It had everything in memory.


def _bson(value):
    if isinstance(value, Decimal):
        return Decimal128(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return Int64(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()  # MongoDB has no days.
    return value
