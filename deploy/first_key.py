"""The key that METERLINE_BOOTSTRAP_API_KEY asks for: an admin key of the default account, made where it is missing."""

from datetime import datetime

import sqlalchemy as sa

from metering.http.scope import Scope
from metering.registry.accounts import DEFAULT_ACCOUNT, ensure_account
from metering.registry.keys import check_secret, create_key, find_key_by_secret
from metering.world import World


def bootstrap_key(connection: sa.Connection, secret: str, now: datetime) -> None:
    """Make the key of this text unless it is there.

    Raises:
        ValueError: the text cannot be a key.
    """
    account, _ = ensure_account(connection, DEFAULT_ACCOUNT, now)
    mode = check_secret(secret)
    if find_key_by_secret(connection, secret) is None:
        create_key(connection, World(account.id, mode), [Scope.ADMIN], now, name="bootstrap", secret=secret)
