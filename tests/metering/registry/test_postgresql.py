"""What is PostgreSQL's own: outages, refusals in one line, and texts that compare as they do on SQLite."""

import re
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from metering.api.customers import DetailText
from metering.errors import RegistrySettingsError, RegistryUnavailableError
from metering.registry.accounts import create_account, list_accounts
from metering.registry.engine import Registry
from metering.registry.migrate import migrate
from metering.registry.tables import accounts, customers
from metering.world import Mode, World
from tests.peers.postgres.server import LOCKED_USER, Postgres

pytestmark = pytest.mark.slow
NOW = datetime.now(UTC)
TEXTS = ("b", "B", "a", "A", "ä", "Ä", "z", "_", "é", "\U0001f600", "\uffee")


@pytest.fixture
def opened():
    """Open a registry by its URL; closed at the end."""
    registries = []

    def open_(url):
        registries.append(Registry(url))
        return registries[-1]

    yield open_
    for registry in registries:
        registry.close()


def test_calls_go_on_after_the_server_was_away(opened):
    """Restarted or killed: the next call connects again, and what was committed is there."""
    with Postgres() as server:
        registry = opened(server.url(server.database()))
        migrate(registry)
        for name, end in (("restarted", server.stop), ("killed", server.kill)):
            with registry.writing() as connection:
                create_account(connection, name, NOW)
            end()
            with pytest.raises(RegistryUnavailableError, match="the registry did not answer: "):
                read(registry)  # refused, or cut: a killed server's backends live on for a moment
            server.start()
        assert read(registry) == ["restarted", "killed"]


def test_a_commit_that_is_cut_off_says_so(postgres, opened):
    """Whether it is in effect nobody can tell."""
    registry = opened(postgres.url(postgres.database()))

    def cut_off():
        with registry.writing() as connection:
            own = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            postgres.run(f"SELECT pg_terminate_backend({own}, 60000)")

    with pytest.raises(RegistryUnavailableError, match="while a change was committed, it may be in effect") as told:
        cut_off()
    assert told.value.public == "the registry went away while a change was committed, it may be in effect"


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"user": LOCKED_USER, "password": "wr%40ng"}, r"password authentication failed .*: correct user and password"),
        ({"user": LOCKED_USER}, r"no password supplied: write the password into METERLINE_REGISTRY_URL"),
        ({"user": "stranger"}, r'role "stranger" does not exist: correct the user'),
        ({"database": "nowhere"}, r'database "nowhere" does not exist: create it'),
        ({"database": "postgres?sslmode=require"}, r"server does not support SSL"),
    ],
)
def test_who_cannot_connect_is_told_in_one_line(postgres, opened, setting, line):
    """The reason and the remedy, and no password."""
    postgres.run(f"DO $$ BEGIN CREATE ROLE {LOCKED_USER} LOGIN PASSWORD 'r@ght'; EXCEPTION WHEN others THEN END $$")
    registry = opened(postgres.url(**setting))
    with pytest.raises(RegistryUnavailableError, match=line) as told:
        read(registry)
    assert "\n" not in str(told.value)
    assert not re.search("wr(%40|@)ng", str(told.value) + repr(registry.url) + repr(registry.engine))
    assert told.value.public == "the registry did not answer"


def test_the_right_password_opens(postgres, opened):
    """Special characters are written in percent form."""
    postgres.run(f"DROP ROLE IF EXISTS {LOCKED_USER}", f"CREATE ROLE {LOCKED_USER} LOGIN PASSWORD 'p@ss/w:rd'")
    with opened(postgres.url(user=LOCKED_USER, password="p%40ss%2Fw%3Ard")).reading() as connection:
        assert connection.exec_driver_sql("SELECT current_user").scalar_one() == LOCKED_USER


@pytest.mark.parametrize(
    ("make", "line"),
    [
        ("ALTER DATABASE {0} SET synchronous_commit = off", "synchronous_commit = off, so what it commits may be lost"),
        ("ALTER DATABASE {0} SET search_path = nowhere", "user lacks a right: no schema has been selected"),
    ],
)
def test_a_server_that_cannot_keep_a_registry_is_refused(postgres, opened, make, line):
    """Before anything is written there."""
    name = postgres.database()
    postgres.run(make.format(name))
    with pytest.raises(RegistrySettingsError, match=line):
        migrate(opened(postgres.url(name)))


def test_another_encoding_is_refused(postgres, opened):
    """It could not hold every name."""
    postgres.run("CREATE DATABASE ascii TEMPLATE template0 ENCODING SQL_ASCII LOCALE 'C'")
    with pytest.raises(RegistrySettingsError, match=r"encoding SQL_ASCII.*create one with ENCODING 'UTF8'"):
        migrate(opened(postgres.url("ascii")))


def test_before_the_first_migration_nothing_is_promised(postgres, opened):
    """A process that is started too early waits, as for a server that is away."""
    with pytest.raises(RegistryUnavailableError, match="not at this release's revision yet"):
        read(opened(postgres.url(postgres.database())))


@pytest.mark.parametrize("language", ["", "LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C.UTF-8'"])
def test_texts_compare_by_their_bytes(postgres, opened, tmp_path, language):
    """Order and search are SQLite's, whatever the language of the database."""
    name = "texts_" + ("english" if language else "plain")
    postgres.run(f"CREATE DATABASE {name} TEMPLATE template0 {language}")
    told = [ask_for_texts(opened(url)) for url in (f"sqlite:///{tmp_path}/registry.db", postgres.url(name))]
    assert told[0] == told[1]
    assert told[0]["order"] == sorted(TEXTS, key=str.encode)


def ask_for_texts(registry):
    """Put texts in, and give what comes back in order and by searches."""
    migrate(registry)
    with registry.writing() as connection:
        world = World(create_account(connection, "acme", NOW).id, Mode.TEST)
        owner = {"account_id": world.account_id, "mode": world.mode.value, "type": "person", "status": "active"}
        rows = [
            {"id": text, "name": text, "details": {"domain": text, "noted": f'\0\\u0000"{text}\\\0'}} for text in TEXTS
        ]
        connection.execute(customers.insert(), [{**owner, **row, "created_at": NOW, "updated_at": NOW} for row in rows])

    domain = DetailText(customers.c.details, sa.literal("domain"))
    with registry.reading() as connection:

        def found(condition):
            return sorted(connection.execute(sa.select(customers.c.id).where(condition)).scalars())

        return {
            "order": list(connection.execute(sa.select(customers.c.id).order_by(customers.c.name)).scalars()),
            "greater": found(customers.c.name > "Z"),
            "contains": {text: found(customers.c.name.icontains(text, autoescape=True)) for text in TEXTS},
            "detail": {text: found(domain == text) for text in TEXTS},
            "in detail": {text: found(domain.icontains(text, autoescape=True)) for text in TEXTS},
        }


def test_a_reading_transaction_sees_one_state_and_changes_nothing(postgres_registry, opened):
    """What is committed meanwhile shows in the next one."""
    registry = opened(postgres_registry)
    with registry.writing() as connection:
        connection.execute(accounts.delete().where(accounts.c.name == "meanwhile"))
    with registry.reading() as connection:
        before = names(connection)
        with registry.writing() as other:
            create_account(other, "meanwhile", NOW)
        assert names(connection) == before
    assert sorted(read(registry)) == sorted([*before, "meanwhile"])
    with pytest.raises(RegistryUnavailableError, match="read-only"), registry.reading() as connection:
        connection.execute(accounts.delete())


def names(connection):
    return [account.name for account in list_accounts(connection)]


def read(registry):
    with registry.reading() as connection:
        return names(connection)
