"""Tell when credits run low or out, in the background: each once, until more come in.

What is told follows from the movements of an account alone, so it does not matter when they are looked at, how often,
or by how many processes at once: a fact has the same key each time. Accounts are looked at in turns, some hundred at
once, at one cut-off each time.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
import structlog

from billing.credits.accounts import CreditAccount, all_accounts
from billing.credits.balances import Held, count_movements, read_held
from billing.credits.ledger import Movement, Stretch, balance_of, stretches
from metering.errors import MeteringError, QueryLimitError
from metering.position import Cutoff
from metering.registry.definitions import newest_revision
from metering.registry.engine import Registry
from metering.registry.outbox import Fact, keys_told, put_message
from metering.resting import by_turns
from metering.store.client import Store
from metering.timestamps import microseconds
from metering.world import World

ACCOUNTS_AT_ONCE = 200

_log = structlog.get_logger(__name__)


class CreditWatcher:
    """Watches the balances of one installation."""

    def __init__(
        self,
        registry: Registry,
        store: Store,
        applied: Callable[[], Awaitable[Cutoff]],
        clock: Callable[[], datetime],
    ) -> None:
        """`applied` gives the newest cut-off, `clock` aware date-times."""
        self._registry = registry
        self._store = store
        self._applied = applied
        self._clock = clock
        self._after = ""

    async def run(self) -> None:
        """Work until cancelled; what is interrupted is looked at again."""
        await by_turns(self._try)

    async def _try(self) -> None:
        try:
            await self.look()
        except MeteringError as error:
            _log.warning("credits wait", reason=str(error))

    async def look(self) -> None:
        """Look at the next accounts, by id; after the last one at the first again.

        Raises:
            UnavailableError: the next call looks at the same again.
        """
        found = await self._registry.read(all_accounts, self._after, ACCOUNTS_AT_ONCE)
        by_world: dict[World, list[CreditAccount]] = {}
        for account in found:
            by_world.setdefault(account.world, []).append(account)
        for world, accounts in by_world.items():
            await self._look_at(world, accounts)
        self._after = found[-1].id if len(found) == ACCOUNTS_AT_ONCE else ""

    async def _look_at(self, world: World, accounts: Sequence[CreditAccount]) -> None:
        now = self._clock()
        cutoff, revision = await self._applied(), await self._registry.read(newest_revision, world)
        held = await self._registry.read(read_held, world, accounts, revision, microseconds(now))
        try:
            moved = await self._store.run(count_movements, self._store, world, cutoff, held, microseconds(now))
        except QueryLimitError as error:
            _log.warning("credits cannot be counted", accounts=len(accounts), reason=str(error))
            return
        facts = [fact for one in held for fact in facts_of(one, moved[one.account.id])]
        told = await self._registry.read(keys_told, world, [fact.key for fact in facts])
        new = [fact for fact in facts if fact.key not in told]
        if new:
            await self._registry.write(_put, world, new, now)


def facts_of(held: Held, moved: Sequence[Movement]) -> list[Fact]:
    """Give what is to be told of an account: of credits that came in, that they ran low, and that they ran out. Pure.

    What lies before its threshold was set is not told by that.
    """
    since_us, facts = microseconds(held.account.told_since), []
    for one in stretches(moved):
        if one.until_us is not None and one.until_us < since_us:
            continue
        if held.threshold is not None and one.least <= held.threshold:
            facts.append(Fact("credit.low_balance", _key(held, one, "low_balance"), _data(held, moved)))
        if one.least <= 0:
            facts.append(Fact("credit.balance_at_zero", _key(held, one, "balance_at_zero"), _data(held, moved)))
    return facts


def _key(held: Held, one: Stretch, what: str) -> str:
    return f"credit.{what}/{held.account.id}/{one.incoming_id}"


def _data(held: Held, moved: Sequence[Movement]) -> Mapping[str, Any]:
    return {
        "product_id": held.account.product_id,
        "customer_id": held.account.customer_id,
        "name": held.name,
        "current_balance": balance_of(moved),
        "low_count_threshold": held.threshold,
    }


def _put(connection: sa.Connection, world: World, facts: Sequence[Fact], now: datetime) -> None:
    for fact in facts:
        put_message(connection, world, fact, now)
