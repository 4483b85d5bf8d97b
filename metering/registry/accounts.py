"""Accounts: whose everything is."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from metering.ids import new_id
from metering.registry.tables import accounts

DEFAULT_ACCOUNT = "default"


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody whose data is walled off from everybody else's."""

    id: str
    name: str
    created_at: datetime


class AccountExistsError(ValueError):
    """The name is taken."""


def create_account(connection: sa.Connection, name: str, now: datetime) -> Account:
    """Create an account.

    Raises:
        AccountExistsError: the name is taken.
        ValueError: the name is empty, too long or holds control characters.
    """
    if not 1 <= len(name) <= 255 or not name.isprintable():
        raise ValueError(f"account name {name[:40]!r} must have 1 to 255 printable characters")
    if find_account(connection, name) is not None:
        raise AccountExistsError(f"an account named {name!r} exists already")
    account = Account(new_id("acc"), name, now)
    connection.execute(accounts.insert().values(id=account.id, name=name, created_at=now))
    return account


def find_account(connection: sa.Connection, name_or_id: str) -> Account | None:
    """Give the account with this name or id."""
    query = accounts.select().where(sa.or_(accounts.c.name == name_or_id, accounts.c.id == name_or_id))
    row = connection.execute(query).first()
    return None if row is None else Account(row.id, row.name, row.created_at)


def ensure_account(connection: sa.Connection, name: str, now: datetime) -> tuple[Account, bool]:
    """Give the account of this name and whether it had to be created."""
    found = find_account(connection, name)
    if found is not None:
        return found, False
    return create_account(connection, name, now), True


def list_accounts(connection: sa.Connection) -> list[Account]:
    """Give all accounts, oldest first."""
    rows = connection.execute(accounts.select().order_by(accounts.c.created_at, accounts.c.id))
    return [Account(row.id, row.name, row.created_at) for row in rows]
