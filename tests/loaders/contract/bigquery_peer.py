"""BigQuery's stand-in: its REST interface in front of a real engine."""

from loaders.provider import Address, Provider
from tests.loaders.contract.literals import literal
from tests.loaders.contract.peer import Type
from tests.peers.bigquery.process import PROJECT, BigQuery
from tests.peers.keys import new_key

TYPES = {
    Type.INTEGER: "BIGINT",
    Type.DECIMAL: "DECIMAL(38, 9)",
    Type.FLOAT: "DOUBLE",
    Type.TEXT: "VARCHAR",
    Type.BOOLEAN: "BOOLEAN",
    Type.INSTANT: "TIMESTAMPTZ",
    Type.DATE: "DATE",
}
ROWS_AT_ONCE = 100


class Peer:
    """One service, one dataset, and a service account that may read it."""

    def __init__(self):
        self.server = BigQuery()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.server.__exit__()

    def address(self):
        return Address(Provider.BIGQUERY, credentials=self.server.credentials)

    def wrong_password(self):
        return Address(Provider.BIGQUERY, credentials=self.server.credentials | {"private_key": new_key()[0]})

    def privileged(self):
        writer = f"writer@{PROJECT}.iam.gserviceaccount.com"
        return Address(Provider.BIGQUERY, credentials=self.server.credentials | {"client_email": writer})

    def load(self, table, columns, rows):
        typed = ", ".join(f'"{name}" {TYPES[kind]}' for name, kind in columns.items())
        self.server.run(f'CREATE OR REPLACE TABLE "usage"."{table}" ({typed})')
        for first in range(0, len(rows), ROWS_AT_ONCE):
            written = [f"({', '.join(map(literal, row))})" for row in rows[first : first + ROWS_AT_ONCE]]
            self.server.run(f'INSERT INTO "usage"."{table}" VALUES {", ".join(written)}')

    def query(self, table, columns, where=None):
        wanted = ", ".join(f"`{name}`" for name in columns)
        condition = f" WHERE `{where.column}` {where.operator} {{{{{where.parameter}}}}}" if where else ""
        return f"SELECT {wanted} FROM `{PROJECT}`.`usage`.`{table}`{condition} ORDER BY id"

    def numbered(self, rows):
        return (
            "SELECT n AS id, CONCAT('customer ', CAST(MOD(n, 100) AS STRING)) AS customerId, TIMESTAMP_ADD(TIMESTAMP"
            " '2026-01-01 00:00:00+00', INTERVAL n SECOND) AS timestamp, n * 0.25 AS amount"
            f" FROM UNNEST(GENERATE_ARRAY(1, {rows})) AS n"
        )

    def slow(self):
        return "SELECT id FROM slow.t"

    def running(self):
        return self.server.running()

    def kill(self):
        self.server.kill()

    def start(self):
        self.server.start()
        self.server.run('CREATE SCHEMA "usage"')
