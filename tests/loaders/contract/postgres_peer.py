"""PostgreSQL from its package."""

import psycopg
from psycopg import sql

from loaders.provider import Address, Provider
from tests.loaders.contract.peer import Type
from tests.peers.postgres.server import LOCKED_USER, Postgres

PASSWORD = "r1ght-passw0rd"
TYPES = {
    Type.INTEGER: "bigint",
    Type.DECIMAL: "numeric(29, 9)",
    Type.FLOAT: "double precision",
    Type.TEXT: "text",
    Type.BOOLEAN: "boolean",
    Type.INSTANT: "timestamptz",
    Type.DATE: "date",
}


class Peer:
    """One server, one database, and a role that may read its tables."""

    def __init__(self):
        self.server = Postgres()

    def __enter__(self):
        self.server.__enter__()
        self.database = self.server.database()
        self.server.run(
            f"CREATE ROLE {LOCKED_USER} LOGIN PASSWORD '{PASSWORD}'",
            f"GRANT pg_read_all_data TO {LOCKED_USER}",
            "CREATE ROLE writer LOGIN",
            "REVOKE CREATE ON SCHEMA public FROM public",
            "REVOKE TEMPORARY ON DATABASE " + self.database + " FROM public",
            "CREATE TABLE written (id int)",
            "GRANT INSERT ON written TO writer",
            database=self.database,
        )
        return self

    def __exit__(self, *_):
        self.server.__exit__()

    def address(self):
        return Address(Provider.POSTGRES, self.server.url(self.database, LOCKED_USER, PASSWORD))

    def wrong_password(self):
        return Address(Provider.POSTGRES, self.server.url(self.database, LOCKED_USER, "wr0ng-passw0rd"))

    def privileged(self):
        return Address(Provider.POSTGRES, self.server.url(self.database, "writer"))

    def load(self, table, columns, rows):
        name = sql.Identifier(table)
        typed = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(n), sql.SQL(TYPES[columns[n]])) for n in columns
        )
        with psycopg.connect(self.server.url(self.database), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(name))
            connection.execute(sql.SQL("CREATE TABLE {} ({})").format(name, typed))
            with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(name)) as copy:
                for row in rows:
                    copy.write_row(row)

    def query(self, table, columns, where=None):
        wanted = ", ".join(f'"{name}"' for name in columns)
        condition = f' WHERE "{where.column}" {where.operator} {{{{{where.parameter}}}}}' if where else ""
        return f'SELECT {wanted} FROM "{table}"{condition} ORDER BY id'

    def numbered(self, rows):
        return (
            "SELECT n AS id, 'customer ' || n % 100 AS \"customerId\", timestamptz '2026-01-01' + n * interval '1 s'"
            f" AS timestamp, n * 0.25 AS amount FROM generate_series(1, {rows}) AS n"
        )

    def slow(self):
        return "SELECT count(*) AS id FROM generate_series(1, 100000) AS a, generate_series(1, 1000000) AS b"

    def running(self):
        asked = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{LOCKED_USER}' AND state <> 'idle'"
        with psycopg.connect(self.server.url()) as connection:
            return connection.execute(asked).fetchone()[0]

    def kill(self):
        self.server.kill()

    def start(self):
        self.server.start()
