"""Keys are looked up once for many requests, and what is remembered is never older than what was seen to change."""

import asyncio
from datetime import UTC, datetime

import pytest

from metering.errors import RegistryUnavailableError
from metering.http.problem import ApiError
from metering.http.scope import Scope
from metering.registry import authenticator as module
from metering.registry.accounts import create_account
from metering.registry.authenticator import KeyAuthenticator
from metering.registry.keys import create_key, revoke_key
from metering.world import Mode, World


def now():
    return datetime.now(UTC)


@pytest.fixture
def key(registry):
    with registry.writing() as connection:
        world = World(create_account(connection, "acme", now()).id, Mode.TEST)
        return create_key(connection, world, [Scope.READ], now())


class Counted:
    """A registry that counts what is read, and holds each answer back until it may go."""

    def __init__(self, registry):
        self._registry, self.reads, self.go = registry, 0, asyncio.Event()

    def version(self):
        return self._registry.version()

    async def read(self, *asked):
        self.reads += 1
        answer = await self._registry.read(*asked)
        await self.go.wait()
        return answer


async def test_requests_that_come_together_ask_once(registry, key):
    """One look-up for all of a key, also when the request that began it was given up."""
    counted = Counted(registry)
    keys = KeyAuthenticator(counted, now)
    first, *others = [asyncio.create_task(keys.authenticate(f"Bearer {key[1]}")) for _ in range(20)]
    await asyncio.sleep(0)
    first.cancel()
    counted.go.set()
    assert {principal.key_id for principal in await asyncio.gather(*others)} == {key[0].id}
    assert counted.reads == 1


async def test_an_outage_is_told_to_all_and_forgotten(registry, key, monkeypatch):
    """The next request asks again."""
    keys = KeyAuthenticator(registry, now)

    async def away(*_):
        raise RegistryUnavailableError("away")

    with monkeypatch.context() as patch:
        patch.setattr(registry, "read", away)
        told = await asyncio.gather(*(keys.authenticate(f"Bearer {key[1]}") for _ in range(5)), return_exceptions=True)
    assert {type(error) for error in told} == {RegistryUnavailableError}
    assert (await keys.authenticate(f"Bearer {key[1]}")).key_id == key[0].id


async def test_a_key_that_is_shut_during_its_look_up_is_not_remembered(registry, key, monkeypatch):
    """The answer was true when it was read; the next request is refused."""
    monkeypatch.setattr(module, "CHECK_EVERY_S", 0)
    monkeypatch.setattr(module, "FORGET_EVERY_S", 1e-9)
    counted = Counted(registry)
    keys = KeyAuthenticator(counted, now)
    asking = asyncio.create_task(keys.authenticate(f"Bearer {key[1]}"))
    while not counted.reads:
        await asyncio.sleep(0.001)
    await registry.read(lambda _: None)  # Its one thread or more: the look-up is read or about to be.
    with registry.writing() as connection:
        revoke_key(connection, key[0].id, now())
    assert keys.recall("Bearer another") is None
    counted.go.set()
    await asyncio.gather(asking, return_exceptions=True)
    with pytest.raises(ApiError, match="revoked"):
        await keys.authenticate(f"Bearer {key[1]}")
