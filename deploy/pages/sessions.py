"""Signed-in browsers: a random token in a cookie, its hash in the registry, and the API key that it stands for.

A session carries no rights of its own. Whatever its key may not do, or may no longer do, it may not either: the key is
looked up with every request, so that revoking it signs everybody out who came in with it.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from metering.http.scope import Scope, allows
from metering.registry.keys import ApiKey, find_key
from metering.registry.tables import accounts, page_sessions

LIFETIME = timedelta(hours=12)
TOKEN_BYTES = 32
TOKEN_CHARACTERS_MAX = 64


@dataclass(frozen=True, slots=True)
class Session:
    """Who is signed in."""

    token: str
    key: ApiKey
    account_name: str

    @property
    def csrf_token(self) -> str:
        """Give what every form of this session carries: nobody who lacks the cookie can work it out."""
        return hmac.new(self.token.encode(), b"meterline form", hashlib.sha256).hexdigest()


def may_read(key: ApiKey) -> bool:
    """Tell whether a key opens the pages."""
    return allows(key.scopes, Scope.READ)


def open_session(connection: sa.Connection, key: ApiKey, now: datetime) -> str:
    """Start a session and give its token, which is kept nowhere. Sessions that have run out are swept."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    connection.execute(page_sessions.delete().where(page_sessions.c.expires_at <= now))
    connection.execute(
        page_sessions.insert().values(sha256=_hash(token), key_id=key.id, created_at=now, expires_at=now + LIFETIME)
    )
    return token


def find_session(connection: sa.Connection, token: str, now: datetime) -> Session | None:
    """Give the session of a token; None when there is none, it ran out, or its key is shut or may not read."""
    if not 0 < len(token) <= TOKEN_CHARACTERS_MAX:
        return None
    query = page_sessions.select().where(page_sessions.c.sha256 == _hash(token), page_sessions.c.expires_at > now)
    row = connection.execute(query).first()
    if row is None:
        return None
    key = find_key(connection, row.key_id)
    if key is None or not key.usable(now) or not may_read(key):
        return None
    name = connection.execute(sa.select(accounts.c.name).where(accounts.c.id == key.world.account_id)).scalar_one()
    return Session(token, key, name)


def end_session(connection: sa.Connection, token: str) -> None:
    """Forget a session; harmless to repeat."""
    connection.execute(page_sessions.delete().where(page_sessions.c.sha256 == _hash(token)))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
