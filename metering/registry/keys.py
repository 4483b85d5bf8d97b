"""API keys: made once, shown once, kept as a hash.

A key reads `test_` or `prod_`, 32 random characters, and 6 that check the others, so that a typing error is told from
an unknown key. Only its SHA-256 is stored: the random part has 190 bits, so a slow hash would buy nothing.
"""

import hashlib
import secrets
import string
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from metering.http.scope import Scope
from metering.ids import new_id
from metering.registry.tables import api_keys
from metering.world import Mode, World

RANDOM_CHARACTERS = 32
CHECK_CHARACTERS = 6
START_CHARACTERS = 9
NAME_CHARACTERS_MAX = 255
SECRET_CHARACTERS_MAX = 255

_ALPHABET = string.digits + string.ascii_letters


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key. `start` is its first characters, to tell keys apart by eye."""

    id: str
    world: World
    name: str
    start: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    def usable(self, now: datetime) -> bool:
        """Tell whether it lets anybody in now."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def new_secret(mode: Mode) -> str:
    """Make a key's text."""
    random = "".join(secrets.choice(_ALPHABET) for _ in range(RANDOM_CHARACTERS))
    return f"{mode.value}_{random}{_check(f'{mode.value}_{random}')}"


def hash_secret(secret: str) -> str:
    """Give what is stored of a key's text."""
    return hashlib.sha256(secret.encode()).hexdigest()


def create_key(
    connection: sa.Connection,
    world: World,
    scopes: Iterable[Scope],
    now: datetime,
    *,
    name: str = "",
    expires_at: datetime | None = None,
    secret: str | None = None,
) -> tuple[ApiKey, str]:
    """Create a key and give it with its text, which cannot be had again. `secret` brings the text from outside.

    Raises:
        ValueError: no scope, a name that is too long or not printable, an expiry in the past, or a `secret` that does
            not read like a key of this mode.
    """
    held = frozenset(scopes)
    if not held:
        raise ValueError("a key needs at least one scope: ingest, read, write or admin")
    if len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
        raise ValueError(f"a key's name has at most {NAME_CHARACTERS_MAX} printable characters; this has {len(name)}")
    if expires_at is not None and expires_at <= now:
        raise ValueError(f"the expiry {expires_at.isoformat()} lies in the past")
    if secret is None:
        secret = new_secret(world.mode)
    else:
        check_secret(secret, world.mode)
    key = ApiKey(new_id("key"), world, name, secret[:START_CHARACTERS], held, now, expires_at, None, None)
    connection.execute(
        api_keys.insert().values(
            id=key.id,
            account_id=world.account_id,
            mode=world.mode.value,
            name=name,
            start=key.start,
            sha256=hash_secret(secret),
            scopes=sorted(scope.value for scope in held),
            created_at=now,
            expires_at=expires_at,
        )
    )
    return key, secret


def check_secret(secret: str, mode: Mode | None = None) -> Mode:
    """Give the mode that a key from outside names by its prefix.

    Raises:
        ValueError: it does not read like a key, or not like one of `mode`.
    """
    prefix, _, rest = secret.partition("_")
    if prefix not in {"test", "prod"} or (mode is not None and prefix != mode.value):
        wanted = f"{mode.value}_" if mode else "test_ or prod_"
        raise ValueError(f"an API key begins with {wanted}; this one begins with {secret[:5]!r}")
    if len(rest) < RANDOM_CHARACTERS or not (rest.isascii() and rest.isalnum()) or len(secret) > SECRET_CHARACTERS_MAX:
        raise ValueError(
            f"an API key is {prefix}_ followed by at least {RANDOM_CHARACTERS} characters of A-Z, a-z and 0-9; "
            f"this one has {len(rest)}"
        )
    return Mode(prefix)


def find_key_by_secret(connection: sa.Connection, secret: str) -> ApiKey | None:
    """Give the key with this text, usable or not."""
    row = connection.execute(api_keys.select().where(api_keys.c.sha256 == hash_secret(secret))).first()
    return None if row is None else _key(row)


def find_key(connection: sa.Connection, key_id: str) -> ApiKey | None:
    """Give the key with this id."""
    row = connection.execute(api_keys.select().where(api_keys.c.id == key_id)).first()
    return None if row is None else _key(row)


def list_keys(connection: sa.Connection, account_id: str | None = None) -> list[ApiKey]:
    """Give all keys, or one account's, oldest first."""
    query = api_keys.select().order_by(api_keys.c.created_at, api_keys.c.id)
    if account_id is not None:
        query = query.where(api_keys.c.account_id == account_id)
    return [_key(row) for row in connection.execute(query)]


def revoke_key(connection: sa.Connection, key_id: str, now: datetime) -> bool:
    """Shut a key for good; tell whether it was open."""
    query = api_keys.update().where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None)).values(revoked_at=now)
    return connection.execute(query).rowcount == 1


def rotate_key(
    connection: sa.Connection, key_id: str, now: datetime, *, overlap: timedelta
) -> tuple[ApiKey, str] | None:
    """Make a key that may do what this one may, for as long as this one was made for, and give it with its text.

    This one goes on for `overlap` at most, so that whoever holds it can change to the other. None when it is not open.
    """
    old = find_key(connection, key_id)
    if old is None or not old.usable(now):
        return None
    expires_at = None if old.expires_at is None else now + (old.expires_at - old.created_at)
    made = create_key(connection, old.world, old.scopes, now, name=old.name, expires_at=expires_at)
    shut_at = now + overlap if old.expires_at is None else min(now + overlap, old.expires_at)
    connection.execute(api_keys.update().where(api_keys.c.id == key_id).values(expires_at=shut_at))
    return made


def record_use(connection: sa.Connection, used: dict[str, datetime]) -> None:
    """Write down when keys were last used; never backwards. In one order, so that no two callers block each other."""
    for key_id, moment in sorted(used.items()):
        earlier = sa.or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < moment)
        connection.execute(api_keys.update().where(api_keys.c.id == key_id, earlier).values(last_used_at=moment))


def well_formed(secret: str) -> bool:
    """Tell whether a key's check characters fit, for keys of the length we make; others may be anybody's."""
    prefix, _, rest = secret.partition("_")
    if len(rest) != RANDOM_CHARACTERS + CHECK_CHARACTERS:
        return True
    return _check(f"{prefix}_{rest[:RANDOM_CHARACTERS]}") == rest[RANDOM_CHARACTERS:]


def _check(text: str) -> str:
    number = zlib.crc32(text.encode())
    digits = []
    for _ in range(CHECK_CHARACTERS):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(digits)


def _key(row: Any) -> ApiKey:
    return ApiKey(
        row.id,
        World(row.account_id, Mode(row.mode)),
        row.name,
        row.start,
        frozenset(Scope(scope) for scope in row.scopes),
        row.created_at,
        row.expires_at,
        row.revoked_at,
        row.last_used_at,
    )
