"""What PostgreSQL needs to behave as the registry is promised to: sessions, turns of writers, and what its errors mean.

SQLite lets one writer in at a time, and every change that reads before it writes rests on that. Here writers take turns
by advisory locks that end with their transaction: those of one account wait for one another, those of different
accounts do not, and a change that spans accounts is alone. So a check that was made under the lock still holds when
its change is committed, whichever machine the others are on; constraints are the second net.
"""

import zlib
from typing import Any

import sqlalchemy as sa

from metering.errors import MeteringError, RegistrySettingsError, RegistryUnavailableError

CONNECT_S_MAX = 5
STATEMENT_S_MAX = 30
UNACKNOWLEDGED_S_MAX = 20
"""A server that vanished without a word is given up after so long."""

EVERYBODY = "everybody"
NOBODY = "nobody"

_TURNS = 0x4D544C52  # Tells our advisory locks from those that others take in the same database.
_ACCOUNT_TURNS = _TURNS + 1

_ALONE = sa.text("SELECT pg_advisory_xact_lock(:turns, 0)").bindparams(turns=_TURNS)
_AMONG_OTHERS = sa.text("SELECT pg_advisory_xact_lock_shared(:turns, 0)").bindparams(turns=_TURNS)
_ALONE_IN_ACCOUNT = sa.text(
    "SELECT pg_advisory_xact_lock_shared(:turns, 0), pg_advisory_xact_lock(:account_turns, :account)"
).bindparams(turns=_TURNS, account_turns=_ACCOUNT_TURNS)

_UNSAFE = (("fsync", "off"), ("full_page_writes", "off"), ("synchronous_commit", "off"))


def connect_arguments(url: sa.URL, busy_s_max: int) -> dict[str, Any]:
    """Give what every session is opened with; what the URL says itself goes before."""
    usual = {
        "application_name": "meterline",
        "client_encoding": "utf8",
        "connect_timeout": CONNECT_S_MAX,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": UNACKNOWLEDGED_S_MAX * 1000,
    }
    limits = {
        "lock_timeout": busy_s_max,
        "statement_timeout": STATEMENT_S_MAX,
        "idle_in_transaction_session_timeout": STATEMENT_S_MAX,
    }
    options = " ".join(f"-c {name}={seconds}s" for name, seconds in limits.items())
    said = url.query.get("options", "")
    arguments = {name: value for name, value in usual.items() if name not in url.query}
    return arguments | {"options": f"{options} {said if isinstance(said, str) else ' '.join(said)}".strip()}


def lift_limits(connection: sa.Connection) -> None:
    """Let this transaction wait and work as long as it takes."""
    for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
        connection.exec_driver_sql(f"SET LOCAL {name} = 0")


def take_turn(connection: sa.Connection, waits_for: str) -> None:
    """Wait until this transaction may write: `waits_for` is an account's id, EVERYBODY or NOBODY.

    Whoever waits for EVERYBODY is waited for by everybody. The transaction must be READ COMMITTED and have read nothing
    yet, so that what it reads is what the last holder of the lock committed.
    """
    if waits_for == EVERYBODY:
        connection.execute(_ALONE)
    elif waits_for == NOBODY:
        connection.execute(_AMONG_OTHERS)
    else:
        # Two accounts of one number wait for one another too, which costs time and nothing else.
        number = zlib.crc32(waits_for.encode()) - (1 << 31)
        connection.execute(_ALONE_IN_ACCOUNT, {"account": number})


def require_safe_settings(connection: sa.Connection) -> None:
    """Refuse a server that would lose committed changes, or texts.

    Raises:
        RegistrySettingsError: it says which setting, and what it must be.
    """
    for name, unsafe in _UNSAFE:
        if connection.exec_driver_sql(f"SHOW {name}").scalar_one() == unsafe:
            raise RegistrySettingsError(
                f"the registry's server has {name} = {unsafe}, so what it commits may be lost: switch it on there"
            )
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding != "UTF8":
        raise RegistrySettingsError(
            f"the registry's database has the encoding {encoding}, which does not hold every text: "
            "create one with ENCODING 'UTF8' TEMPLATE template0"
        )


def compare_by_bytes(connection: sa.Connection) -> None:
    """Make every text column compare and sort by its bytes, as SQLite does, whatever the database's own language is."""
    columns = connection.exec_driver_sql(
        "SELECT attrelid::regclass::text AS named, quote_ident(attname) AS attribute,"
        " format_type(atttypid, atttypmod) AS type"
        " FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
        " WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped"
        " AND attcollation NOT IN (0, 'pg_catalog.\"C\"'::regcollation)"
    ).all()
    tables: dict[str, list[str]] = {}
    for column in columns:
        alter = f'ALTER COLUMN {column.attribute} TYPE {column.type} COLLATE "C"'
        tables.setdefault(column.named, []).append(alter)
    for table, alterations in tables.items():
        connection.exec_driver_sql(f"ALTER TABLE {table} {', '.join(alterations)}")


def meaning_of(error: sa.exc.DBAPIError) -> MeteringError | None:
    """Say what an error means for the caller; None when it is a bug here."""
    state = getattr(error.orig, "sqlstate", None)
    reason = reason_of(error)
    if state in {"25006", "25P03"}:  # Read-only, as a standby is after a fail-over; cut off for idling.
        return RegistryUnavailableError(f"the registry did not answer: {reason}")
    if state in {"42P01", "42703"}:
        return RegistryUnavailableError(f"the registry is not at this release's revision yet: {reason}")
    if state in {"42501", "3F000"}:
        return RegistrySettingsError(
            f"the registry's user lacks a right: {reason}; it must own its database, or be granted CREATE on a schema"
        )
    if state is None and "connection option" in reason:
        return RegistrySettingsError(f"METERLINE_REGISTRY_URL: {reason}")
    return None


def reason_of(error: sa.exc.DBAPIError) -> str:
    """Give one line of what the server or the driver said, with the remedy where there is one; never a password."""
    text = _essence(" ".join(str(error.orig).split()))
    remedies = (remedy for sign, remedy in _REMEDIES if sign in text)
    remedy = next(remedies, None)
    return text if remedy is None else f"{text}: {remedy}"


_REMEDIES = (
    ("password authentication failed", "correct user and password in METERLINE_REGISTRY_URL"),
    ('role "', "correct the user in METERLINE_REGISTRY_URL"),
    ("no password supplied", "write the password into METERLINE_REGISTRY_URL"),
    ('database "', "create it, or correct METERLINE_REGISTRY_URL"),
    ("no pg_hba.conf entry", "let this user and machine in by the server's pg_hba.conf"),
    ("Connection refused", "start the server, or correct METERLINE_REGISTRY_URL"),
    ("could not translate host name", "correct the host in METERLINE_REGISTRY_URL"),
    ("failed to resolve host", "correct the host in METERLINE_REGISTRY_URL"),
    ("too many clients", "raise max_connections of the server"),
)


def _essence(text: str) -> str:
    """Keep what the server said of a failed connection: libpq repeats the address once for each of the host's."""
    _, fatal, said = text.rpartition("FATAL: ")
    if fatal:
        return said.strip()
    return text.partition(" Is the server running")[0].partition(" LINE ")[0]
