"""Snowflake's stand-in: fakesnow behind the interface that the real driver speaks."""

from functools import partial

from loaders.provider import Address, Provider
from tests.loaders.contract.literals import literal
from tests.loaders.contract.peer import Type
from tests.peers.snowflake.process import Snowflake

TYPES = {
    Type.INTEGER: "NUMBER(38, 0)",
    Type.DECIMAL: "NUMBER(38, 9)",
    Type.FLOAT: "FLOAT",
    Type.TEXT: "VARCHAR",
    Type.BOOLEAN: "BOOLEAN",
    Type.INSTANT: "TIMESTAMP_TZ",
    Type.DATE: "DATE",
}
ROWS_AT_ONCE = 100


class Peer:
    """One account, one database, and a user whose role reads it."""

    def __init__(self):
        self.server = Snowflake()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.server.__exit__()

    def address(self):
        return Address(Provider.SNOWFLAKE, credentials=self.server.credentials)

    def wrong_password(self):
        return Address(Provider.SNOWFLAKE, credentials=self.server.credentials | {"password": "wr0ng-passw0rd"})

    def privileged(self):
        return Address(Provider.SNOWFLAKE, credentials=self.server.credentials | {"role": "ACCOUNTADMIN"})

    def load(self, table, columns, rows):
        typed = ", ".join(f'"{name}" {TYPES[kind]}' for name, kind in columns.items())
        self.server.run(f'CREATE OR REPLACE TABLE "{table}" ({typed})')
        write = partial(literal, backslashes_escape=True)
        for first in range(0, len(rows), ROWS_AT_ONCE):
            written = [f"({', '.join(map(write, row))})" for row in rows[first : first + ROWS_AT_ONCE]]
            self.server.run(f'INSERT INTO "{table}" VALUES {", ".join(written)}')

    def query(self, table, columns, where=None):
        wanted = ", ".join(f'"{name}"' for name in columns)
        condition = f' WHERE "{where.column}" {where.operator} {{{{{where.parameter}}}}}' if where else ""
        return f'SELECT {wanted} FROM "{table}"{condition} ORDER BY "id"'

    def numbered(self, rows):
        instants = "DATEADD(second, n, CAST('2026-01-01' AS TIMESTAMP_TZ))"
        numbers = f"SELECT ROW_NUMBER() OVER (ORDER BY 1) AS n FROM TABLE(GENERATOR(ROWCOUNT => {rows}))"
        customers = "'customer ' || MOD(n, 100)"
        return (
            f'SELECT n AS "id", {customers} AS "customerId", {instants} AS "timestamp", n * 0.25 AS "amount"'
            f" FROM ({numbers})"
        )

    def slow(self):
        return 'SELECT "id" FROM WAITS_600'

    def running(self):
        return self.server.running()

    def kill(self):
        self.server.kill()

    def start(self):
        self.server.start()
