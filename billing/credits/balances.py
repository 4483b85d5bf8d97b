"""Work out balances: what the registry says came in, and what the store counts of usage, at one cut-off."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

import sqlalchemy as sa

from billing.catalog.credits import CreditAggregator, credit_aggregators
from billing.catalog.model import Product
from billing.catalog.registry import find_products
from billing.credits.accounts import CreditAccount, transactions_of
from billing.credits.grants import grants_of
from billing.credits.ledger import Incoming, Movement, Retained, instants, movements
from billing.invoices.registry import identifiers_of
from billing.pricing import credits_used
from billing.subscriptions.registry import find_subscriptions
from billing.tables import of, subscription_products, subscriptions
from metering.filters import EVERYTHING
from metering.position import Cutoff
from metering.registry.aggregators import StoredAggregator, list_aggregators
from metering.registry.definitions import in_force
from metering.registry.tables import aggregators
from metering.store.client import Store
from metering.store.questions import Counting, Question, figures_of
from metering.timestamps import microseconds
from metering.world import World

SUBSCRIPTIONS_MAX = 100


@dataclass(frozen=True, slots=True)
class Held:
    """An account, its product, what draws on it, and what came in and was retained until now."""

    account: CreditAccount
    product: Product
    weights: Sequence[CreditAggregator]
    aggregators: Mapping[str, StoredAggregator]
    customer_ids: Sequence[str]
    incoming: Sequence[Incoming]
    retained: Sequence[Retained]

    @property
    def name(self) -> str:
        """Give its own name, else that of the product."""
        return self.account.name or self.product.name

    @property
    def threshold(self) -> Decimal | None:
        """Give the balance at which it is low: its own, else that of the product."""
        if self.account.low_count_threshold is not None:
            return self.account.low_count_threshold
        sent = self.product.details.get("low_credits_threshold")
        return None if sent is None else Decimal(sent)


def read_held(
    connection: sa.Connection, world: World, accounts: Sequence[CreditAccount], revision: int, now_us: int
) -> list[Held]:
    """Read what balances follow from, of accounts of one world; aggregators as they were defined at a revision."""
    products = find_products(connection, world, {one.product_id for one in accounts})
    weights = {name: credit_aggregators(product.details) for name, product in products.items()}
    wanted = sorted({one.aggregator_id for own in weights.values() for one in own})
    stored, _ = list_aggregators(connection, world, conditions=[aggregators.c.id.in_(wanted)], take=len(wanted), skip=0)
    defined = {one.id: one for one in in_force(connection, world, stored, revision)}
    identifiers = identifiers_of(connection, world, sorted({one.customer_id for one in accounts}))
    kept, granted = transactions_of(connection, accounts), _granted(connection, world, accounts, now_us)
    return [
        Held(
            one,
            products[one.product_id],
            weights[one.product_id],
            defined,
            identifiers[one.customer_id],
            [*granted.get(one.id, ()), *kept[one.id][0]],
            kept[one.id][1],
        )
        for one in accounts
    ]


def count_movements(
    store: Store, world: World, cutoff: Cutoff, held: Sequence[Held], now_us: int
) -> dict[str, list[Movement]]:
    """Give the movements of each account until now, by its id: one statement for each aggregator. Blocks.

    Raises:
        QueryLimitError: there is too much to count for one answer.
        StoreUnavailableError: no answer.
    """
    spans: dict[str, list[tuple[int, int]]] = {}
    asked: dict[str, list[tuple[str, Question]]] = {}
    for one in held:
        opened_us = microseconds(one.account.opened_at)
        edges = [*instants(opened_us, one.incoming, one.retained, now_us), max(now_us, opened_us) + 1]
        spans[one.account.id] = list(pairwise(edges))
        for weight in one.weights:
            asked.setdefault(weight.aggregator_id, []).extend(
                (one.account.id, Question(one.customer_ids, *span)) for span in spans[one.account.id]
            )
    defined = {name: aggregator for one in held for name, aggregator in one.aggregators.items()}
    figures: dict[tuple[str, str], list[Decimal]] = {}
    for aggregator_id, questions in asked.items():
        counting = Counting(world, cutoff, defined[aggregator_id].counted(), [EVERYTHING])
        for (account_id, _), (usage,) in zip(
            questions, figures_of(store, counting, [question for _, question in questions]), strict=True
        ):
            figures.setdefault((account_id, aggregator_id), []).append(usage.rated)
    return {one.account.id: _moved(one, spans[one.account.id], figures) for one in held}


def _moved(
    one: Held, spans: Sequence[tuple[int, int]], figures: Mapping[tuple[str, str], list[Decimal]]
) -> list[Movement]:
    steps = []
    for index, (start_us, end_us) in enumerate(spans):
        pairs = [(each.weight, figures[one.account.id, each.aggregator_id][index]) for each in one.weights]
        steps.append((start_us, end_us, credits_used(pairs)))
    return movements(one.account.id, steps, one.incoming, one.retained)


def _granted(
    connection: sa.Connection, world: World, accounts: Sequence[CreditAccount], now_us: int
) -> dict[str, list[Incoming]]:
    """Give what subscriptions granted, by the id of the account."""
    products, customers = {one.product_id for one in accounts}, {one.customer_id for one in accounts}
    query = (
        sa.select(subscriptions.c.id)
        .join(subscription_products, subscription_products.c.subscription_id == subscriptions.c.id)
        .where(
            of(subscriptions, world),
            subscriptions.c.customer_id.in_(customers),
            subscription_products.c.product_id.in_(products),
            subscription_products.c.credit_terms.is_not(None),
        )
        .distinct()
    )
    ids = sorted(connection.execute(query).scalars())
    by_customer: dict[tuple[str, str], str] = {(one.customer_id, one.product_id): one.id for one in accounts}
    found: dict[str, list[Incoming]] = {}
    for start in range(0, len(ids), SUBSCRIPTIONS_MAX):
        for subscription in find_subscriptions(connection, world, ids[start : start + SUBSCRIPTIONS_MAX]).values():
            for product_id in sorted({one.product_id for one in subscription.products} & products):
                account_id = by_customer.get((subscription.customer_id, product_id))
                if account_id is not None:
                    found.setdefault(account_id, []).extend(grants_of(subscription, product_id, now_us))
    return found
