"""Tell whose key a request carries, at the cost of a dictionary look-up.

Keys are remembered by the whole header. What is remembered is forgotten as soon as anything in the registry has
changed (SQLite tells so in microseconds), so a revoked key is shut within `CHECK_EVERY_S`. With a database that cannot
tell, everything is forgotten every `FORGET_EVERY_S`.
"""

import asyncio
import base64
import binascii
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from metering.http.problem import ApiError, unauthorized
from metering.http.route import Principal
from metering.registry.engine import NOBODY, Registry
from metering.registry.keys import SECRET_CHARACTERS_MAX, ApiKey, find_key_by_secret, record_use, well_formed

CHECK_EVERY_S = 0.02
FORGET_EVERY_S = 1.0
REMEMBERED_MAX = 10_000
USE_RECORDED_EVERY = timedelta(minutes=1)

_WHERE = "send `Authorization: Bearer KEY`; keys are made with `meterline keys create`"


@dataclass(slots=True)
class _Remembered:
    principal: Principal
    expires_at: datetime | None
    used: bool = True


class KeyAuthenticator:
    """Authenticates against the registry. One per process, used from its event loop alone."""

    def __init__(self, registry: Registry, clock: Callable[[], datetime]) -> None:
        """`clock` gives aware datetimes."""
        self._registry = registry
        self._clock = clock
        self._remembered: dict[str, _Remembered] = {}
        self._asking: dict[str, asyncio.Future[ApiKey | None]] = {}
        self._checked_at = 0.0
        self._seen_version: object = None
        self._used: dict[str, datetime] = {}
        self._recorded: dict[str, datetime] = {}

    def recall(self, authorization: str | None) -> Principal | None:
        """Give the principal at once if this header was let in before and nothing has changed since."""
        if authorization is None:
            return None
        tick = time.monotonic()
        if tick - self._checked_at > CHECK_EVERY_S:
            self._forget_if_changed(tick)
        known = self._remembered.get(authorization)
        if known is None or (known.expires_at is not None and self._clock() >= known.expires_at):
            return None
        known.used = True
        return known.principal

    async def authenticate(self, authorization: str | None) -> Principal:
        """Read an `Authorization` header, Bearer or Basic with the key as user.

        Raises:
            ApiError: 401.
            RegistryUnavailableError: it cannot be told now.
        """
        known = self.recall(authorization)
        if known is not None:
            return known
        secret = secret_of(authorization)
        if not well_formed(secret):
            raise unauthorized("this API key has a typing error: its check characters do not fit")
        seen = self._seen_version
        key = await self._look_up(secret)
        now = self._clock()
        principal = let_in(key, now)
        self._note_use(principal.key_id, now)
        if len(self._remembered) >= REMEMBERED_MAX:
            self._remembered.clear()
        assert key is not None
        assert authorization is not None
        if self._seen_version == seen:  # Else what was read may be older than the change that was seen meanwhile.
            self._remembered[authorization] = _Remembered(principal, key.expires_at)
        return principal

    async def flush_use(self) -> None:
        """Write down the last use of keys; to be called every few seconds."""
        for known in self._remembered.values():
            if known.used:
                known.used = False
                self._note_use(known.principal.key_id, self._clock())
        if self._used:
            used, self._used = self._used, {}
            await self._registry.write(record_use, used, waits_for=NOBODY)
            self._recorded.update(used)

    async def _look_up(self, secret: str) -> ApiKey | None:
        """Ask the registry once for all requests that carry a key at this moment."""
        asking = self._asking.get(secret)
        if asking is None:
            asking = asyncio.ensure_future(self._registry.read(find_key_by_secret, secret))
            self._asking[secret] = asking
            asking.add_done_callback(partial(self._asked, secret))
        return await asyncio.shield(asking)  # Whoever began it may be gone before the others are answered.

    def _asked(self, secret: str, asking: asyncio.Future[ApiKey | None]) -> None:
        del self._asking[secret]
        if not asking.cancelled():
            asking.exception()  # Those who wait raise it; nobody may.

    def _note_use(self, key_id: str, now: datetime) -> None:
        recorded = self._recorded.get(key_id)
        if recorded is None or now - recorded > USE_RECORDED_EVERY:
            self._used[key_id] = now

    def _forget_if_changed(self, tick: float) -> None:
        self._checked_at = tick
        version = self._registry.version()
        if version is None:
            version = int(tick / FORGET_EVERY_S)
        if version != self._seen_version:
            self._seen_version = version
            self._remembered.clear()


def secret_of(authorization: str | None) -> str:
    """Take the key out of the header.

    Raises:
        ApiError: 401 when there is none or it does not read like a key.
    """
    if not authorization:
        raise unauthorized(f"an API key is needed: {_WHERE}")
    kind, _, rest = authorization.strip().partition(" ")
    secret = rest.strip()
    if kind.lower() == "basic":
        try:
            secret = base64.b64decode(secret, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            raise unauthorized("the Basic credentials are not base64 of `KEY:`") from None
    elif kind.lower() != "bearer":
        raise unauthorized(f"Authorization must be Bearer or Basic, not {kind[:20]!r}: {_WHERE}")
    if not secret or len(secret) > SECRET_CHARACTERS_MAX or not secret.isascii():
        raise unauthorized(f"this is no API key: {_WHERE}")
    return secret


def let_in(key: ApiKey | None, now: datetime) -> Principal:
    """Give the principal of a key that is good now.

    Raises:
        ApiError: 401.
    """
    if key is None:
        raise unauthorized(f"this API key is not known: {_WHERE}")
    if not key.usable(now):
        raise refusal(key)
    return Principal(key.id, key.world, key.scopes)


def refusal(key: ApiKey) -> ApiError:
    """Say why a known key is shut."""
    if key.revoked_at is not None:
        return unauthorized("this API key was revoked: make another with `meterline keys create`")
    return unauthorized("this API key has expired: make another with `meterline keys create`")
