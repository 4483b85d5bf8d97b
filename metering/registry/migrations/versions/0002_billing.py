"""Products with their price configurations, and subscriptions with the prices that were agreed."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "products",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("mode", sa.String(4), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("type", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("aggregator_id", sa.String(64), nullable=True),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_products"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_products_account_id"),
        sa.ForeignKeyConstraint(["aggregator_id"], ["aggregators.id"], name="fk_products_aggregator_id"),
    )
    op.create_index("ix_products_world_created", "products", ["account_id", "mode", "created_at", "id"])
    op.create_index("ix_products_aggregator_id", "products", ["aggregator_id"])
    op.create_table(
        "price_configurations",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("mode", sa.String(4), nullable=False),
        sa.Column("product_id", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("countries", sa.Text(), nullable=True),
        sa.Column("billing_interval", sa.Text(), nullable=True),
        sa.Column("commitment_interval", sa.Text(), nullable=True),
        sa.Column("metering_filter", sa.Text(), nullable=True),
        sa.Column("prices", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_price_configurations"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_price_configurations_account_id"),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name="fk_price_configurations_product_id"),
    )
    op.create_index("ix_price_configurations_product_id", "price_configurations", ["product_id"])
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("mode", sa.String(4), nullable=False),
        sa.Column("customer_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=True),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("timezone", sa.String(64), nullable=False),
        sa.Column("commitment_interval", sa.Text(), nullable=True),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("cancelled_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_subscriptions"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_subscriptions_account_id"),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name="fk_subscriptions_customer_id"),
    )
    op.create_index("ix_subscriptions_world_created", "subscriptions", ["account_id", "mode", "created_at", "id"])
    op.create_index("ix_subscriptions_customer_id", "subscriptions", ["customer_id"])
    op.create_table(
        "subscription_products",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("mode", sa.String(4), nullable=False),
        sa.Column("subscription_id", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("product_id", sa.String(64), nullable=False),
        sa.Column("aggregator_id", sa.String(64), nullable=True),
        sa.Column("payment_interval", sa.Text(), nullable=False),
        sa.Column("count", sa.Text(), nullable=False),
        sa.Column("min_amount", sa.BigInteger(), nullable=True),
        sa.Column("max_amount", sa.BigInteger(), nullable=True),
        sa.Column("min_committed_count", sa.Text(), nullable=True),
        sa.Column("price_groups", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_subscription_products"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_subscription_products_account_id"),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name="fk_subscription_products_subscription_id"
        ),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name="fk_subscription_products_product_id"),
        sa.ForeignKeyConstraint(["aggregator_id"], ["aggregators.id"], name="fk_subscription_products_aggregator_id"),
    )
    op.create_index("ix_subscription_products_subscription_id", "subscription_products", ["subscription_id"])
    op.create_index("ix_subscription_products_product_id", "subscription_products", ["product_id"])
    op.create_index("ix_subscription_products_aggregator_id", "subscription_products", ["aggregator_id"])
