"""Keep credit accounts and what was topped up and retained. Every function works within one transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from billing.credits.ledger import Incoming, MovementKind, Retained
from billing.tables import credit_accounts, credit_transactions, of, owner
from metering.ids import new_id
from metering.timestamps import microseconds
from metering.world import Mode, World

_LOOKED_UP_MAX = 500


@dataclass(frozen=True, slots=True)
class CreditAccount:
    """The credits that a customer has of a product. Usage draws on them from `opened_at` on.

    `name` and `low_count_threshold` None are those of the product. `told_since` is when the threshold was set.
    """

    id: str
    world: World
    customer_id: str
    product_id: str
    name: str | None
    low_count_threshold: Decimal | None
    opened_at: datetime
    told_since: datetime
    created_at: datetime
    updated_at: datetime


def open_account(
    connection: sa.Connection,
    world: World,
    customer_id: str,
    product_id: str,
    *,
    opened_at: datetime,
    now: datetime,
    values: Mapping[str, Any] | None = None,
) -> CreditAccount:
    """Open an account; `values` are its name and threshold."""
    account_id = new_id("cda")
    connection.execute(
        credit_accounts.insert().values(
            id=account_id,
            **owner(world),
            customer_id=customer_id,
            product_id=product_id,
            **(values or {}),
            opened_at=opened_at,
            told_since=now,
            created_at=now,
            updated_at=now,
        )
    )
    found = find_account(connection, world, customer_id, product_id)
    assert found is not None
    return found


def find_account(connection: sa.Connection, world: World, customer_id: str, product_id: str) -> CreditAccount | None:
    """Give a customer's account of a product."""
    own = credit_accounts.c.customer_id == customer_id, credit_accounts.c.product_id == product_id
    found, _ = list_accounts(connection, world, conditions=own, take=1, skip=0)
    return found[0] if found else None


def list_accounts(
    connection: sa.Connection, world: World, *, conditions: Iterable[sa.ColumnElement[bool]], take: int, skip: int
) -> tuple[list[CreditAccount], int]:
    """Give a page, oldest first, and how many there are. Conditions are over `tables.credit_accounts`."""
    where = sa.and_(of(credit_accounts, world), *conditions)
    total = connection.execute(sa.select(sa.func.count()).select_from(credit_accounts).where(where)).scalar_one()
    query = credit_accounts.select().where(where).order_by(credit_accounts.c.created_at, credit_accounts.c.id)
    return [_account(row) for row in connection.execute(query.limit(take).offset(skip))], total


def all_accounts(connection: sa.Connection, after: str, take: int) -> list[CreditAccount]:
    """Give a batch of the accounts of all worlds, by id, those after one."""
    query = credit_accounts.select().where(credit_accounts.c.id > after).order_by(credit_accounts.c.id)
    return [_account(row) for row in connection.execute(query.limit(take))]


def insert_topup(
    connection: sa.Connection, account: CreditAccount, amount: Decimal, expires_at: datetime | None, now: datetime
) -> Incoming:
    """Keep credits that were given."""
    made = Incoming(
        new_id("cdt"),
        MovementKind.TOPUP,
        amount,
        microseconds(now),
        None if expires_at is None else microseconds(expires_at),
    )
    values = {"id": made.id, "type": made.kind.value, "credits": amount, "expires_at": expires_at}
    _insert(connection, account, values, now)
    return made


@dataclass(frozen=True, slots=True)
class Price:
    """What credits are bought for, and in the invoices of which subscription."""

    amount: int
    currency: str
    subscription_id: str


def insert_purchase(
    connection: sa.Connection,
    account: CreditAccount,
    amount: Decimal,
    expires_at: datetime | None,
    now: datetime,
    *,
    price: Price,
) -> Incoming:
    """Keep credits that were bought."""
    kind = MovementKind.PURCHASE
    expires_us = None if expires_at is None else microseconds(expires_at)
    made = Incoming(new_id("cdt"), kind, amount, microseconds(now), expires_us)
    values = {"id": made.id, "type": kind.value, "credits": amount, "expires_at": expires_at}
    paid = {"amount": price.amount, "currency": price.currency, "subscription_id": price.subscription_id}
    _insert(connection, account, {**values, **paid, "product_id": account.product_id}, now)
    return made


def insert_retained(
    connection: sa.Connection, account: CreditAccount, amount: Decimal, event_id: str | None, now: datetime
) -> Retained:
    """Keep credits that a client says were used."""
    made = Retained(new_id("cdt"), amount, microseconds(now), event_id)
    values = {"id": made.id, "type": MovementKind.USAGE.value, "credits": amount, "event_id": event_id}
    _insert(connection, account, values, now)
    return made


def retained_for(connection: sa.Connection, account: CreditAccount, event_id: str) -> Retained | None:
    """Give what was retained for an event, so that it is said once."""
    table = credit_transactions
    query = table.select().where(table.c.account_key == account.id, table.c.event_id == event_id)
    row = connection.execute(query).first()
    return None if row is None else _retained(row)


def count_transactions(connection: sa.Connection, account: CreditAccount) -> int:
    """Count what is kept of an account."""
    table = credit_transactions
    query = sa.select(sa.func.count()).select_from(table).where(table.c.account_key == account.id)
    return connection.execute(query).scalar_one()


def transactions_of(
    connection: sa.Connection, accounts: Sequence[CreditAccount]
) -> dict[str, tuple[list[Incoming], list[Retained]]]:
    """Give what was topped up and retained, by the id of the account."""
    table = credit_transactions
    found: dict[str, tuple[list[Incoming], list[Retained]]] = {one.id: ([], []) for one in accounts}
    wanted = list(found)
    for start in range(0, len(wanted), _LOOKED_UP_MAX):
        within = table.c.account_key.in_(wanted[start : start + _LOOKED_UP_MAX])
        for row in connection.execute(table.select().where(within).order_by(table.c.created_at, table.c.id)):
            incoming, retained = found[row.account_key]
            if row.type == MovementKind.USAGE.value:
                retained.append(_retained(row))
            else:
                expires_us = None if row.expires_at is None else microseconds(row.expires_at)
                at_us = microseconds(row.created_at)
                incoming.append(Incoming(row.id, MovementKind(row.type), Decimal(row.credits), at_us, expires_us))
    return found


def _insert(connection: sa.Connection, account: CreditAccount, values: Mapping[str, Any], now: datetime) -> None:
    table = credit_transactions
    connection.execute(table.insert().values(**values, **owner(account.world), account_key=account.id, created_at=now))


def _retained(row: Any) -> Retained:
    return Retained(row.id, Decimal(row.credits), microseconds(row.created_at), row.event_id)


def _account(row: Any) -> CreditAccount:
    threshold = row.low_count_threshold
    return CreditAccount(
        row.id,
        World(row.account_id, Mode(row.mode)),
        row.customer_id,
        row.product_id,
        row.name,
        None if threshold is None else Decimal(threshold),
        row.opened_at,
        row.told_since,
        row.created_at,
        row.updated_at,
    )
