import asyncio
import json
import random
from contextlib import suppress

import pytest

from ingest.errors import LogOverloadedError
from ingest.gateway.body_budget import BodyBudget
from ingest.log.protocol import Receipt
from metering.http.problem import ApiError
from metering.http.route import Principal
from metering.http.scope import Scope
from metering.world import Mode, World
from tests.ingest.events import an_event

ROOM_BYTES = 60_000
EVENTS_PER_S = 40
QUIET = ("acc_1", "acc_2", "acc_3", "acc_4")
SHARE_PER_S = EVENTS_PER_S / 5


class KeysOfAnybody:
    """The key is the account."""

    async def authenticate(self, authorization):
        return Principal("key", World(authorization.removeprefix("Bearer "), Mode.TEST), frozenset({Scope.INGEST}))


class SlowLog:
    """Takes sections one after the other at a fixed pace, and has room for `ROOM_BYTES`."""

    def __init__(self):
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def append(self, section):
        size = len(section.body)
        if self._waiting + size > ROOM_BYTES:
            raise LogOverloadedError("full")
        self._waiting += size
        try:
            async with self._turn:
                await asyncio.sleep(1 / EVENTS_PER_S)
        finally:
            self._waiting -= size
        return Receipt({0: (0, 0)})


async def share_of_the_quiet(gateway, seconds=3):
    """One account sends 50 times its share, four send half of theirs; give who of the four got what, and the greedy."""
    event = json.dumps(an_event(record={"id": "r", "text": "x" * 800})).encode()

    async def send(account):
        status, _, headers = await gateway.send("/v1/events", event, Authorization=f"Bearer {account}")
        assert status == 201 or headers["Retry-After"] == "1"
        return account, status

    chance, sent = random.Random(7), []
    for account, rate in [("greedy", 50 * SHARE_PER_S), *((account, SHARE_PER_S / 2) for account in QUIET)]:
        moment = chance.random() / rate
        while moment < seconds:
            sent.append((moment, account))
            moment += chance.expovariate(rate) if account != "greedy" else 1 / rate
    begun, tasks = asyncio.get_running_loop().time(), []
    for moment, account in sorted(sent):
        await asyncio.sleep(max(0, begun + moment - asyncio.get_running_loop().time()))
        tasks.append(asyncio.create_task(send(account)))
    answers = await asyncio.gather(*tasks)
    quiet = [status for account, status in answers if account in QUIET]
    greedy = [status for account, status in answers if account == "greedy"]
    return quiet.count(201) / len(quiet), greedy.count(201) / len(greedy), set(quiet + greedy)


@pytest.mark.slow
async def test_one_account_at_fifty_times_its_share_takes_nothing_from_the_others(start):
    """At least 95 % of what the others send is taken; who sends too much is told when to send again."""
    gateway = await start(writer=SlowLog(), keys=KeysOfAnybody(), waiting=BodyBudget(ROOM_BYTES))
    quiet, greedy, statuses = await share_of_the_quiet(gateway)
    assert quiet >= 0.95
    assert 0 < greedy < 0.3
    assert statuses == {201, 503}


@pytest.mark.slow
async def test_without_shares_the_others_would_starve(start):
    """The measurement above can fail: with room for everybody's bytes but no shares, the log's room is taken."""
    gateway = await start(writer=SlowLog(), keys=KeysOfAnybody(), waiting=BodyBudget(10**9))
    quiet, _, _ = await share_of_the_quiet(gateway)
    assert quiet < 0.8


def test_one_account_alone_gets_half_and_two_a_third_each():
    """As much as any of them holds is left for others."""
    budget = BodyBudget(3000)
    for greedy, most in ((["a"], 1500), (["a", "b"], 1000)):
        for _ in range(3000):
            for account in greedy:
                if budget._held_by.get(account, 0) > most:
                    budget.give_back(account, 10)
                with suppress(ApiError):
                    budget.take(account, 10)
        assert all(abs(budget._held_by[account] - most) <= 20 for account in greedy)
    budget.take("c", 980)
    with pytest.raises(ApiError, match="too many bytes"):
        budget.take("d", 100)


def test_a_body_that_is_alone_finds_room_however_large_and_grows_into_it():
    """A limit of many is none of one; what is given back is gone without a trace."""
    budget = BodyBudget(100)
    with budget.hold("a", 80) as held:
        held.grow(80)
        assert budget.held == 160
        with pytest.raises(ApiError), budget.hold("b", 1):
            pass
    with budget.hold("b", 10), budget.hold("a", 20) as held:
        held.grow(70)
        with pytest.raises(ApiError):
            held.grow(1)
    assert (budget.held, budget._held_by) == (0, {})
