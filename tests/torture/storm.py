"""Everything dies while clients send, and each time the figures must be exact.

One seed draws what is done to which process, what is sent, and which answers are cut. What is demanded does not depend
on time: so many kills and cut answers happen, however long that takes, and then the product is held against the ledger.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

from tests.torture.check import Check
from tests.torture.events import CORRECTED, STEADY
from tests.torture.installation import KEY, a_hold_s
from tests.torture.ledger import Ledger
from tests.torture.observer import Observer
from tests.torture.proxy import OF_ANSWERS, CuttingProxy
from tests.torture.senders import Sender, Steady
from tests.torture.stubborn import Stubborn

SENDERS = 5
CUT_SHARE = 0.08
PAUSE_S_MAX = 1.5
KILLS = {"gateway": 6, "core": 6, "log": 5, "broker": 3, "all": 2, "supervisor": 1}
"""How often each kind is killed, against the others."""
HOLDS_A_KILL = 0.25
DENIALS_A_KILL = 0.1
OUTPUT_SHOWN = 8_000
AGGREGATORS = {
    "count": {"entity": CORRECTED, "operation": "count"},
    "sum": {"entity": CORRECTED, "operation": "sum", "property": "amount"},
    "heartbeats": {"entity": STEADY, "operation": "count"},
}


@dataclass(frozen=True)
class Plan:
    """What is asked of a storm. A round ends with a comparison; the last compares every event."""

    seed: int
    kills: int
    cuts: int
    rounds: int


@dataclass
class Outcome:
    """What happened so far."""

    kills: Counter = field(default_factory=Counter)
    holds: Counter = field(default_factory=Counter)
    denials: Counter = field(default_factory=Counter)
    cuts: Counter = field(default_factory=Counter)
    rounds: int = 0
    events: int = 0
    requests_unanswered: int = 0
    figures: int = 0
    settled_late: int = 0

    @property
    def answers_cut(self):
        """How many requests were delivered and not answered in whole."""
        return sum(self.cuts[cut] for cut in OF_ANSWERS)


def schedule(plan, kinds):
    """Draw what is killed, in which order: each kind that there is at least once, then as `KILLS` weighs them."""
    there = [kind for kind in KILLS if kind in {*kinds, "all", "supervisor"}]
    chance = random.Random(f"{plan.seed} schedule")
    more = chance.choices(there, [KILLS[kind] for kind in there], k=max(0, plan.kills - len(there)))
    drawn = [*there, *more][: plan.kills]
    chance.shuffle(drawn)
    return drawn


async def storm(installation, plan, tell=lambda _: None):
    """Carry out a plan; gives the outcome. `tell` is called with it whenever something happened."""
    try:
        return await _storm(installation, plan, tell)
    except Exception as error:
        error.add_note(f"{plan}\nwhat the product said last:\n{installation.product.output()[-OUTPUT_SHOWN:]}")
        raise


async def _storm(installation, plan, tell):
    outcome, ledger, steady = Outcome(), Ledger(), Steady(0, [])
    drawn = schedule(plan, installation.kinds)
    async with (
        CuttingProxy(installation.product.port, random.Random(f"{plan.seed} cuts"), 0) as proxy,
        Stubborn(installation.product.url, KEY) as client,
    ):
        outcome.cuts = proxy.cuts
        aggregators = {}
        for name, body in AGGREGATORS.items():
            aggregators[name] = (await client.post("/v1/aggregators", {"name": name, **body}))["id"]
        observer = Observer(plan.seed, aggregators, steady)
        senders = [Sender(number, plan.seed, ledger, steady) for number in range(SENDERS)]
        for number in range(1, plan.rounds + 1):
            chance = random.Random(f"{plan.seed} round {number}")
            kills = drawn[len(drawn) * (number - 1) // plan.rounds : len(drawn) * number // plan.rounds]
            proxy.cut_share = CUT_SHARE
            stop = asyncio.Event()
            through = f"http://127.0.0.1:{proxy.port}"
            async with asyncio.TaskGroup() as group:
                sending = [group.create_task(sender.run(through, KEY, stop)) for sender in senders]
                group.create_task(observer.run(through, KEY, stop))
                for kind in kills:
                    await asyncio.sleep(chance.uniform(0.05, PAUSE_S_MAX))
                    await _strike(installation, kind, chance, outcome)
                    outcome.events = ledger.acknowledged
                    tell(outcome)
                while outcome.answers_cut < plan.cuts * number // plan.rounds:
                    await asyncio.sleep(0.1)
                    outcome.events = ledger.acknowledged
                    tell(outcome)
                await asyncio.to_thread(installation.until_none_is_held)
                await asyncio.to_thread(installation.grant_disk)
                await asyncio.to_thread(installation.revive)
                proxy.cut_share = 0
                stop.set()
            outcome.requests_unanswered += sum(task.result() for task in sending)
            check = Check(client, ledger, aggregators)
            last = number == plan.rounds
            await check.run(chance, events_max=1_000_000 if last else 500, versions_max=40 if last else 10)
            await observer.recheck(client, 40 if last else 10)
            outcome.rounds, outcome.events, outcome.settled_late = number, ledger.acknowledged, check.settled_late
            outcome.figures += check.figures
            tell(outcome)
        outcome.figures += observer.figures
    assert "unexpected error" not in installation.product.output(), installation.product.output()
    return outcome


async def _strike(installation, kind, chance, outcome):
    """Kill as drawn, and now and then hold something still or deny it the disk before."""
    if chance.random() < HOLDS_A_KILL:
        held = chance.choice(installation.kinds)
        outcome.holds[held] += await asyncio.to_thread(installation.hold, held, chance, a_hold_s(chance))
    if chance.random() < DENIALS_A_KILL:
        denied = chance.choice([kind for kind in installation.kinds if kind != "broker"])
        outcome.denials[denied] += await asyncio.to_thread(installation.deny_disk, denied, chance)
        await asyncio.sleep(chance.uniform(0.5, 2))
        await asyncio.to_thread(installation.grant_disk)
    if kind == "all":
        await asyncio.to_thread(installation.kill_all)
    elif kind == "supervisor":
        await asyncio.to_thread(installation.kill_supervisor)
    else:
        await asyncio.to_thread(installation.kill, kind, chance)
    outcome.kills[kind] += 1
    if kind in {"all", "supervisor", "broker"}:
        await asyncio.sleep(chance.uniform(0, 1))
        await asyncio.to_thread(installation.revive)
