"""A fact is told once for ever, together with the change that made it true."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from metering.registry.accounts import create_account
from metering.registry.outbox import Fact, list_messages, put_message
from metering.world import Mode, World

NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)
FACT = Fact("x.happened", "fact", {"n": 1})


@pytest.fixture
def account(registry) -> World:
    with registry.writing() as connection:
        return World(create_account(connection, "acme", NOW).id, Mode.TEST)


def told(registry, world) -> list[str]:
    with registry.reading() as connection:
        found, total = list_messages(connection, world, conditions=(), take=100, skip=0)
    assert total == len(found)
    return [message.fact.key for message in found]


def test_a_fact_is_written_once_and_the_newest_comes_first(registry, account):
    """The second message of a fact is dropped, and whoever writes it learns so."""
    with registry.writing() as connection:
        for minutes, key in enumerate(["first", "second", "first"]):
            at = NOW + timedelta(minutes=minutes)
            written = put_message(connection, account, Fact("x.happened", key, {}), at)
            assert written == (minutes < 2)
    assert told(registry, account) == ["second", "first"]


def test_worlds_have_their_own_facts(registry, account):
    """What happened in test mode may happen in production too."""
    other = World(account.account_id, Mode.PROD)
    with registry.writing() as connection:
        assert put_message(connection, account, FACT, NOW)
        assert put_message(connection, other, FACT, NOW)
    assert told(registry, account) == told(registry, other) == ["fact"]


def test_a_change_that_is_rolled_back_tells_nothing(registry, account):
    """The message is part of the transaction, and may be written by a later one."""

    def fail(connection):
        put_message(connection, account, FACT, NOW)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), registry.writing() as connection:
        fail(connection)
    assert told(registry, account) == []
    with registry.writing() as connection:
        assert put_message(connection, account, FACT, NOW)


def test_of_many_who_write_a_fact_at_once_one_does(registry, account):
    """Whatever turns they wait for."""
    wrote = []
    ready = threading.Barrier(4)

    def write(waits_for: str) -> None:
        ready.wait()
        with registry.writing(waits_for) as connection:
            wrote.append(put_message(connection, account, FACT, NOW))

    threads = [threading.Thread(target=write, args=[f"turn {number}"]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(wrote) == [False, False, False, True]
    assert told(registry, account) == ["fact"]
