"""How fast rows come out of PostgreSQL and MariaDB: as columns of JSON text, beside a bare fetch by the driver.

    python -m bench.loaders_sql            1 million rows of 6 columns
    SIZE=10000000 python -m bench.loaders_sql

The servers are real ones, started here on the same machine. A bare fetch takes each row as Python values through the
driver's own cursor that streams. Goals, for one core of ours: PostgreSQL 250,000 rows/s, MariaDB 120,000, so that
with the way into the log 100,000 and 60,000 remain. Memory is the most that this process held. Set CEILING=1 to fail
below the goals.
"""

import os
import resource
import sys
import time

import psycopg
import pymysql
from pymysql.cursors import SSCursor

from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.opening import open_source
from loaders.provider import Address, Provider
from tests.peers.mariadb.server import USER, MariaDb
from tests.peers.postgres.server import Postgres

SIZE = int(os.environ.get("SIZE", "1000000"))
PAGE_ROWS = 5_000
GOALS = {"PostgreSQL": 250_000, "MariaDB": 120_000}

POSTGRES_TABLE = f"""
CREATE TABLE calls AS SELECT n AS id, 'customer ' || n % 1000 AS "customerId",
  timestamptz '2026-01-01' + n * interval '1 s' AS timestamp, (n * 1.25)::numeric(12, 2) AS amount,
  'eu-west-' || n % 3 AS region, n % 2 = 0 AS cached FROM generate_series(1, {SIZE}) AS n
"""
MARIADB_TABLE = f"""
CREATE TABLE calls SELECT seq AS id, CONCAT('customer ', seq % 1000) AS customerId,
  CAST('2026-01-01' + INTERVAL seq SECOND AS DATETIME(6)) AS timestamp, CAST(seq * 1.25 AS DECIMAL(12, 2)) AS amount,
  CONCAT('eu-west-', seq % 3) AS region, seq % 2 = 0 AS cached FROM seq_1_to_{SIZE}
"""
COLUMNS = {Provider.POSTGRES: 'id, "customerId", timestamp, amount, region, cached'}


def timed(rows):
    """Give the rows that came, by the clock and by this process's CPU, a second each."""
    began, cpu = time.perf_counter(), time.process_time()
    count = sum(rows)
    assert count == SIZE, count
    return count / (time.perf_counter() - began), count / (time.process_time() - cpu)


def through_source(address):
    """Read all rows as the runner does."""
    source = open_source(address, HostPolicy(), SourceLimits())
    columns = COLUMNS.get(address.provider, "id, customerId, timestamp, amount, region, cached")
    query = f"SELECT {columns} FROM calls WHERE id > {{{{cursor}}}}"
    found = timed(page.rows for page in source.pages(query, {"cursor": 0}, page_rows_max=PAGE_ROWS))
    source.close()
    return found


def fetched(cursor):
    """Give the rows of each page."""
    while rows := cursor.fetchmany(PAGE_ROWS):
        yield len(rows)


def bare_postgres(url):
    """Read all rows with a server-side cursor of psycopg."""
    with psycopg.connect(url) as connection, connection.cursor("bare") as cursor:
        cursor.execute("SELECT * FROM calls")
        return timed(fetched(cursor))


def bare_mariadb(server, database):
    """Read all rows with an unbuffered cursor of PyMySQL."""
    connection = pymysql.connect(host="127.0.0.1", port=server.port, user=USER, database=database)
    with connection, connection.cursor(SSCursor) as cursor:
        cursor.execute("SELECT * FROM calls")
        return timed(fetched(cursor))


def report(name, ours, bare):
    """Print one line; tell whether it meets its goal."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{name}: {ours[1]:,.0f} rows/s of one core ({ours[0]:,.0f} by the clock), goal {GOALS[name]:,};"
        f" a bare fetch {bare[1]:,.0f} ({bare[0]:,.0f}): {ours[1] / bare[1]:.0%} of it; {memory:,.0f} MiB",
        flush=True,
    )
    return ours[1] >= GOALS[name]


def main():
    """Measure both, the source first."""
    met = []
    with Postgres() as server:
        database = server.database()
        server.run(POSTGRES_TABLE, "VACUUM ANALYZE calls", database=database)
        url = server.url(database)
        met.append(report("PostgreSQL", through_source(Address(Provider.POSTGRES, url)), bare_postgres(url)))
    with MariaDb() as server:
        database = server.database()
        server.run(MARIADB_TABLE, database=database)
        ours = through_source(Address(Provider.MYSQL, server.url(database)))
        met.append(report("MariaDB", ours, bare_mariadb(server, database)))
    if os.environ.get("CEILING") and not all(met):
        sys.exit("a goal was missed")


if __name__ == "__main__":
    main()
