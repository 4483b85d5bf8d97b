"""Billing's tables, in the registry's database: what is sold, for how much, and to whom.

They live in the registry's metadata, so one chain of migrations serves both. Importing this module declares them.
"""

import sqlalchemy as sa

from metering.registry.columns import ExactJson, Instant
from metering.registry.tables import metadata, world_columns
from metering.world import World

products = sa.Table(
    "products",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("type", sa.String(16), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("aggregator_id", sa.String(64), sa.ForeignKey("aggregators.id"), index=True),
    sa.Column("details", ExactJson, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Index("ix_products_world_created", "account_id", "mode", "created_at", "id"),
)

# `user_role_ids` are kept for those who show price books; what a price is does not depend on them.
price_books = sa.Table(
    "price_books",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("description", sa.Text),
    sa.Column("user_role_ids", ExactJson, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Index("ix_price_books_world_created", "account_id", "mode", "created_at", "id"),
)

plans = sa.Table(
    "plans",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("details", ExactJson, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Index("ix_plans_world_created", "account_id", "mode", "created_at", "id"),
)

# `terms` are those of a product of a new subscription, as they were sent: a subscription from the plan reads them.
plan_products = sa.Table(
    "plan_products",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("plan_id", sa.String(64), sa.ForeignKey("plans.id"), nullable=False, index=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("product_id", sa.String(64), sa.ForeignKey("products.id"), nullable=False, index=True),
    sa.Column("terms", ExactJson, nullable=False),
)

# `countries`: null is everywhere, [] is customers without a country. The intervals and the filter: null is any.
# `position` is the order in which configurations were given: the order of a matrix's groups.
# `price_book_id` null is the default catalog, `plan_id` null any plan or none, `archived_at` null is for sale.
price_configurations = sa.Table(
    "price_configurations",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("product_id", sa.String(64), sa.ForeignKey("products.id"), nullable=False, index=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("countries", ExactJson),
    sa.Column("billing_interval", ExactJson),
    sa.Column("commitment_interval", ExactJson),
    sa.Column("metering_filter", ExactJson),
    sa.Column("prices", ExactJson, nullable=False),
    sa.Column("price_book_id", sa.String(64), index=True),
    sa.Column("plan_id", sa.String(64), index=True),
    sa.Column("archived_at", Instant),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
)

# The prices that a configuration had before, each `[valid_from, valid_until)`; the current ones are its own.
price_versions = sa.Table(
    "price_versions",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("price_configuration_id", sa.String(64), nullable=False, index=True),
    sa.Column("prices", ExactJson, nullable=False),
    sa.Column("valid_from", Instant, nullable=False),
    sa.Column("valid_until", Instant, nullable=False),
)

# `timezone` is the customer's when the subscription was made: its calendar must not move under periods that began.
# `billing_cycle_alignment`: null, as in rows from before the column, is calendar_period.
subscriptions = sa.Table(
    "subscriptions",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("customer_id", sa.String(64), sa.ForeignKey("customers.id"), nullable=False, index=True),
    sa.Column("name", sa.String(255)),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("timezone", sa.String(64), nullable=False),
    sa.Column("commitment_interval", ExactJson),
    sa.Column("billing_cycle_alignment", sa.String(16)),
    sa.Column("plan_id", sa.String(64), index=True),
    sa.Column("price_book_id", sa.String(64), index=True),
    sa.Column("starts_at", Instant, nullable=False),
    sa.Column("cancelled_at", Instant),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Index("ix_subscriptions_world_created", "account_id", "mode", "created_at", "id"),
)

# `price_groups` are the rows that were chosen or agreed when the subscription was made: [{metering_filter, prices}].
# `metering`: null is the payment interval, billed in full; `payment_schedule`: null is the usual of the product's kind.
# `seat_aggregator_id` counts connected seats by `seat_terms`; `aggregator_id` is null then, for what is billed is the
# count.
subscription_products = sa.Table(
    "subscription_products",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("subscription_id", sa.String(64), sa.ForeignKey("subscriptions.id"), nullable=False, index=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("product_id", sa.String(64), sa.ForeignKey("products.id"), nullable=False, index=True),
    sa.Column("aggregator_id", sa.String(64), sa.ForeignKey("aggregators.id"), index=True),
    sa.Column("payment_interval", ExactJson, nullable=False),
    sa.Column("count", ExactJson, nullable=False),
    sa.Column("min_amount", sa.BigInteger),
    sa.Column("max_amount", sa.BigInteger),
    sa.Column("min_committed_count", ExactJson),
    sa.Column("price_groups", ExactJson, nullable=False),
    sa.Column("metering", ExactJson),
    sa.Column("payment_schedule", sa.String(16)),
    sa.Column("seat_aggregator_id", sa.String(64), index=True),
    sa.Column("seat_terms", ExactJson),
    sa.Column("credit_terms", ExactJson),
)

# From which configurations of the catalog a product's prices were taken, in the order of its groups.
subscription_prices = sa.Table(
    "subscription_prices",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column(
        "subscription_product_id", sa.String(64), sa.ForeignKey("subscription_products.id"), nullable=False, index=True
    ),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("price_configuration_id", sa.String(64), nullable=False, index=True),
    sa.Column("price_book_id", sa.String(64), index=True),
)

# What was changed of a subscription's products, from an instant on; rows are never changed. `count` and `price_groups`
# are those after the change, where it is one of them; `cutoff` and `reason` are of a count that was read from usage.
subscription_changes = sa.Table(
    "subscription_changes",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("subscription_id", sa.String(64), sa.ForeignKey("subscriptions.id"), nullable=False, index=True),
    sa.Column(
        "subscription_product_id", sa.String(64), sa.ForeignKey("subscription_products.id"), nullable=False, index=True
    ),
    sa.Column("type", sa.String(32), nullable=False),
    sa.Column("effective_at", Instant, nullable=False),
    sa.Column("calculation_method", sa.String(16), nullable=False),
    sa.Column("precision", sa.String(16), nullable=False),
    sa.Column("count", ExactJson),
    sa.Column("price_groups", ExactJson),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("cutoff", sa.Text),
    sa.Column("reason", sa.String(32)),
)

# `terms` are a fixed amount and its currency, or a percentage, and for how long; `product_ids` null is all.
coupons = sa.Table(
    "coupons",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("description", sa.Text),
    sa.Column("terms", ExactJson, nullable=False),
    sa.Column("product_ids", ExactJson),
    sa.Column("redemption_limit", sa.Integer),
    sa.Column("expiration_date", Instant),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Index("ix_coupons_world_created", "account_id", "mode", "created_at", "id"),
)

# A coupon that a subscription got, as it was then; `removed_from` on it is there no more, as was asked at `removed_at`.
subscription_coupons = sa.Table(
    "subscription_coupons",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("subscription_id", sa.String(64), sa.ForeignKey("subscriptions.id"), nullable=False, index=True),
    sa.Column("coupon_id", sa.String(64), sa.ForeignKey("coupons.id"), nullable=False, index=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("terms", ExactJson, nullable=False),
    sa.Column("product_ids", ExactJson),
    sa.Column("effective_at", Instant, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("removal_id", sa.String(64)),
    sa.Column("removed_from", Instant),
    sa.Column("removed_at", Instant),
)

# The credits that a customer has of a product; null in the name and the threshold is what the product says.
credit_accounts = sa.Table(
    "credit_accounts",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("customer_id", sa.String(64), sa.ForeignKey("customers.id"), nullable=False),
    sa.Column("product_id", sa.String(64), sa.ForeignKey("products.id"), nullable=False, index=True),
    sa.Column("name", sa.String(255)),
    sa.Column("low_count_threshold", ExactJson),
    sa.Column("opened_at", Instant, nullable=False),
    sa.Column("told_since", Instant, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Index("ix_credit_accounts_owner", "customer_id", "product_id", unique=True),
)

# What was topped up or bought, and what clients retained; usage and grants follow from events and subscriptions. What
# was bought for an `amount` is in the invoices of a subscription.
credit_transactions = sa.Table(
    "credit_transactions",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("account_key", sa.String(64), sa.ForeignKey("credit_accounts.id"), nullable=False),
    sa.Column("type", sa.String(16), nullable=False),
    sa.Column("credits", ExactJson, nullable=False),
    sa.Column("expires_at", Instant),
    sa.Column("event_id", sa.String(255)),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("amount", sa.BigInteger),
    sa.Column("currency", sa.String(3)),
    sa.Column("subscription_id", sa.String(64), index=True),
    sa.Column("product_id", sa.String(64)),
    sa.Index("ix_credit_transactions_account_key", "account_key", "created_at"),
)

# What was last read of connected seats: `count` up to `cutoff`, null before the first time. At `next_refresh_at` they
# are read again, null is not by the clock.
seat_refreshes = sa.Table(
    "seat_refreshes",
    metadata,
    sa.Column("subscription_product_id", sa.String(64), sa.ForeignKey("subscription_products.id"), primary_key=True),
    *world_columns(),
    sa.Column("subscription_id", sa.String(64), sa.ForeignKey("subscriptions.id"), nullable=False, index=True),
    sa.Column("aggregator_id", sa.String(64), nullable=False, index=True),
    sa.Column("schedule", sa.String(16), nullable=False),
    sa.Column("count", ExactJson),
    sa.Column("cutoff", sa.Text, nullable=False),
    sa.Column("next_refresh_at", Instant, index=True),
)

# Up to which cut-off it was looked whose seats changed, of an aggregator with realtime seats.
seat_checks = sa.Table(
    "seat_checks",
    metadata,
    sa.Column("aggregator_id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("cutoff", sa.Text, nullable=False),
)

# `request` is what was asked, `cutoff` as of when. `worker` works on it, and says so again before `held_until`.
simulations = sa.Table(
    "simulations",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("request", ExactJson, nullable=False),
    sa.Column("cutoff", sa.Text, nullable=False),
    sa.Column("progress", sa.Integer, nullable=False),
    sa.Column("summary", ExactJson),
    sa.Column("message", sa.Text),
    sa.Column("worker", sa.String(64)),
    sa.Column("held_until", Instant),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Index("ix_simulations_world_created", "account_id", "mode", "created_at", "id"),
    sa.Index("ix_simulations_status_created", "status", "created_at", "id"),
)

# One row a customer, written when all are known; `current` is null where a customer has no price.
simulation_outcomes = sa.Table(
    "simulation_outcomes",
    metadata,
    sa.Column("simulation_id", sa.String(64), sa.ForeignKey("simulations.id"), primary_key=True),
    sa.Column("customer_id", sa.String(64), primary_key=True),
    sa.Column("current", sa.BigInteger),
    sa.Column("amounts", ExactJson, nullable=False),
)


def of(table: sa.Table, world: World) -> sa.ColumnElement[bool]:
    """Give the condition that keeps a statement within one world."""
    return sa.and_(table.c.account_id == world.account_id, table.c.mode == world.mode.value)


def owner(world: World) -> dict[str, str]:
    """Give the columns that say whose a new row is."""
    return {"account_id": world.account_id, "mode": world.mode.value}
