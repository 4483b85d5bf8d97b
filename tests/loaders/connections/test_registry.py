"""Connections are kept encrypted, behind the wall between worlds."""

from datetime import UTC, datetime

import pytest

from loaders.connections.registry import (
    Connections,
    Pinged,
    Reached,
    change_address,
    create_connection,
    delete_connection,
    find_connection,
    keep_ping,
    list_connections,
)
from loaders.connections.rotation import keys_in_use, rotate
from loaders.connections.tables import connections
from loaders.errors import SourceDeniedError
from loaders.provider import Address, Provider
from loaders.secrets.keys import GivenKeys, new_key
from metering.world import Mode, World

NOW = datetime(2026, 5, 1, tzinfo=UTC)
KEY = new_key()
KEYS = GivenKeys([KEY], "the test")
URL = "postgres://reader:hunter2@db.example.com/usage"


def reached(url=URL):
    address = Address(Provider.POSTGRES, url=url)
    return Reached(address, {"url": url.replace("hunter2", "***")}, Pinged(["may write"], NOW))


def save(registry, world, url=URL):
    with registry.writing() as connection:
        return create_connection(connection, world, "warehouse", reached(url), KEYS)


def test_what_is_saved_is_opened_again_and_lies_nowhere_in_the_clear(registry, world):
    saved = save(registry, world)
    assert Connections(registry, KEYS).address_of(world, saved.id) == Address(Provider.POSTGRES, url=URL)
    assert "hunter2" not in repr(saved)
    with registry.reading() as connection:
        kept = connection.execute(connections.select()).one()
    assert "hunter2" not in str(kept)


def test_another_world_finds_nothing(registry, world):
    saved = save(registry, world)
    elsewhere = World(world.account_id, Mode.PROD)
    with registry.reading() as connection:
        assert find_connection(connection, elsewhere, saved.id) is None
        assert list_connections(connection, elsewhere, conditions=[], take=10, skip=0) == ([], 0)
        assert list_connections(connection, world, conditions=[], take=10, skip=0) == ([saved], 1)
    with pytest.raises(SourceDeniedError, match=saved.id):
        Connections(registry, KEYS).address_of(elsewhere, saved.id)


def test_a_row_copied_into_another_world_does_not_open(registry, world):
    saved = save(registry, world)
    elsewhere = World(world.account_id, Mode.PROD)
    with registry.writing() as connection:
        connection.execute(connections.update().values(mode="prod"))
    with pytest.raises(SourceDeniedError, match="belongs to another") as refusal:
        Connections(registry, KEYS).address_of(elsewhere, saved.id)
    assert "hunter2" not in str(refusal.value)


def test_without_its_key_it_is_refused_in_one_line(registry, world):
    saved = save(registry, world)
    with pytest.raises(SourceDeniedError, match=f"(?s)^connection {saved.id}: [^\n]*{KEY.id}[^\n]*$"):
        Connections(registry, GivenKeys([new_key()], "the test")).address_of(world, saved.id)


def test_of_two_changes_at_once_one_is_refused(registry, world):
    saved = save(registry, world)
    with registry.writing() as connection:
        assert change_address(connection, saved, reached("postgres://reader:hunter2@new/usage"), KEYS)
        assert not change_address(connection, saved, reached("postgres://reader:hunter2@old/usage"), KEYS)
        keep_ping(connection, saved, Pinged([], NOW))  # Of the address that it was.
        assert find_connection(connection, world, saved.id).warnings == ["may write"]
    assert Connections(registry, KEYS).address_of(world, saved.id).url.startswith("postgres://reader:hunter2@new/")


def test_what_is_deleted_is_gone(registry, world):
    saved = save(registry, world)
    with registry.writing() as connection:
        delete_connection(connection, saved)
        assert find_connection(connection, world, saved.id) is None


def test_a_rotation_that_was_stopped_goes_on(registry, world):
    with registry.writing() as connection:
        saved = [create_connection(connection, world, "w", reached(), KEYS) for _ in range(250)]
    fresh = new_key()
    both = GivenKeys([fresh, KEY], "the test")

    def stop(done, _):
        if done >= 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotate(registry, both, stop)
    told = []
    rotated = rotate(registry, both, lambda *so_far: told.append(so_far))
    assert (rotated.rewrapped, rotated.fresh, rotated.left) == (150, 100, {})
    assert told == [(100, 250), (200, 250), (250, 250)]
    with registry.reading() as connection:
        assert keys_in_use(connection) == {fresh.id: 250}
    only = Connections(registry, GivenKeys([fresh], "the test"))
    assert all(only.address_of(world, one.id).url == URL for one in saved)


def test_a_rotation_names_what_it_could_not_open_and_does_the_rest(registry, world):
    lost, good = save(registry, world), save(registry, world)
    with registry.writing() as connection:
        sealed = lost.sealed.replace(f".{KEY.id}.", ".gone.")
        connection.execute(connections.update().where(connections.c.id == lost.id).values(secret=sealed))
    rotated = rotate(registry, GivenKeys([new_key(), KEY], "the test"), lambda *_: None)
    assert rotated.rewrapped == 1
    assert list(rotated.left) == [lost.id] != [good.id]
    assert "'gone'" in rotated.left[lost.id]
