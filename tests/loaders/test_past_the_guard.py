"""Hostile queries that come past the guard do nothing all the same, and end: the session is a wall of its own.

They are run as the owner of everything in the database, who may write in any other session; so it is not the
user's own rights that hold them back, but the third wall is not tried here: rights over the whole server.
"""

import contextlib
import time
from pathlib import Path

import psycopg
import pymysql
import pytest

from loaders.errors import SourceError
from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.opening import open_source
from loaders.provider import Address, Provider
from tests.loaders.sql.hostile import MYSQL, POSTGRES

pytestmark = pytest.mark.slow

LIMITS = SourceLimits(statement_s_max=0.5)
PATIENCE_S = 120


def _unguarded(address, query, limits=LIMITS):
    """Send a query as a source would if the guard had let it through; give its rows if it came to its end."""
    declare = "DECLARE meterline NO SCROLL CURSOR WITHOUT HOLD FOR "
    source = open_source(address, HostPolicy(), limits)
    with contextlib.closing(source), contextlib.suppress(SourceError), source._asking() as link:
        if address.provider is Provider.MYSQL:
            return sum(len(rows) for rows in link.ask(query)[1])
        link.command(declare + query)
        return sum(len(rows) for rows in link.fetch("meterline", 1000, 100))
    return None


def _eventually(holds):
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


POSTGRES_STATE = (
    "SELECT array_agg(v ORDER BY id) FROM victim AS v",
    "SELECT last_value, is_called FROM numbers",
    "SELECT array_agg(relname::text ORDER BY relname) FROM pg_class",
    "SELECT count(*), sum(length(proname)) FROM pg_proc",
    "SELECT array_agg(rolname::text || rolsuper ORDER BY rolname) FROM pg_roles",
    "SELECT array_agg(relacl::text) FROM pg_class WHERE relname = 'victim'",
    "SELECT count(*) FROM pg_largeobject_metadata",
    "SELECT count(*) FROM pg_replication_slots",
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
    "SELECT array_agg(name || setting ORDER BY name) FROM pg_settings WHERE source <> 'session'",
)


def test_nothing_hostile_changes_a_postgresql_or_outlives_its_limit(postgres):
    """Every query of the list, one after the other, each in a session of its own."""
    database = postgres.database()
    postgres.run(
        "DROP ROLE IF EXISTS hostile",
        "CREATE ROLE hostile LOGIN",
        f'ALTER DATABASE "{database}" OWNER TO hostile',
    )
    with psycopg.connect(postgres.url(database, "hostile"), autocommit=True) as owner:
        owner.execute("CREATE TABLE victim AS SELECT n AS id FROM generate_series(1, 3) AS n")
        owner.execute("CREATE SEQUENCE numbers")

    def state():
        with psycopg.connect(postgres.url(database)) as connection:
            return [connection.execute(asked).fetchall() for asked in POSTGRES_STATE]

    def running():
        asked = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'hostile' AND state <> 'idle'"
        with psycopg.connect(postgres.url()) as connection:
            return connection.execute(asked).fetchone()[0]

    address = Address(Provider.POSTGRES, postgres.url(database, "hostile"))
    before = state()
    for query in POSTGRES:
        _unguarded(address, query)
        assert state() == before, query
    _eventually(lambda: running() == 0)
    assert not Path("/tmp/owned").exists()
    assert _unguarded(address, "SELECT * FROM victim", SourceLimits()) == 3
    postgres.drop(database)
    postgres.run("DROP ROLE hostile")


MARIADB_STATE = (
    "SELECT GROUP_CONCAT(id ORDER BY id) FROM victim",
    "SELECT next_not_cached_value FROM numbers",
    "SELECT GROUP_CONCAT(table_name ORDER BY 1) FROM information_schema.tables WHERE table_schema = DATABASE()",
    "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE()",
    "SELECT COUNT(*) FROM information_schema.routines",
    "SELECT COUNT(*) FROM mysql.func",
    "SELECT COUNT(*) FROM mysql.plugin",
    "SELECT GROUP_CONCAT(user, host, priv ORDER BY user, host) FROM mysql.global_priv",
    "SELECT @@global.general_log, @@global.read_only, @@global.max_statement_time",
)


def test_nothing_hostile_changes_a_mariadb_or_outlives_its_limit(mariadb):
    """The same; what holds a lock or waits ends with its session."""
    database = mariadb.database()
    mariadb.run(
        "CREATE TABLE victim SELECT seq AS id FROM seq_1_to_3",
        "CREATE SEQUENCE numbers",
        "CREATE OR REPLACE USER hostile@'127.0.0.1'",
        f"GRANT ALL ON `{database}`.* TO hostile@'127.0.0.1'",
        database=database,
    )

    def state():
        with mariadb.connect(database) as connection, connection.cursor() as cursor:
            found = []
            for asked in MARIADB_STATE:
                cursor.execute(asked)
                found.append(cursor.fetchall())
            return found

    def running():
        asked = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'hostile' AND command <> 'Sleep'"
        return mariadb.run(asked)[0][0]

    address = Address(Provider.MYSQL, mariadb.url(database, "hostile"))
    before = state()
    for query in MYSQL:
        _unguarded(address, query)
        try:
            assert state() == before, query
        except pymysql.Error as error:
            pytest.fail(f"{query}: {error}")
    _eventually(lambda: running() == 0)
    assert not Path("/tmp/owned").exists()
    assert _unguarded(address, "SELECT * FROM victim", SourceLimits()) == 3
