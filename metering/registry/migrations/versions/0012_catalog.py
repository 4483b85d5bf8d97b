"""Price books, plans and versions of prices, from where a subscription has its own, and changes of subscriptions."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Create tables and add columns; null in a new column is what held before there was a choice."""
    op.create_table(
        "price_books",
        *_owned("price_books"),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("user_role_ids", sa.Text(), nullable=False),
        *_timed(),
    )
    op.create_index("ix_price_books_world_created", "price_books", ["account_id", "mode", "created_at", "id"])
    op.create_table(
        "plans",
        *_owned("plans"),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        *_timed(),
    )
    op.create_index("ix_plans_world_created", "plans", ["account_id", "mode", "created_at", "id"])
    op.create_table(
        "plan_products",
        *_owned("plan_products"),
        sa.Column("plan_id", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("product_id", sa.String(64), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name="fk_plan_products_plan_id"),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name="fk_plan_products_product_id"),
    )
    op.create_index("ix_plan_products_plan_id", "plan_products", ["plan_id"])
    op.create_index("ix_plan_products_product_id", "plan_products", ["product_id"])
    for column in (
        sa.Column("price_book_id", sa.String(64), nullable=True),
        sa.Column("plan_id", sa.String(64), nullable=True),
        sa.Column("archived_at", sa.BigInteger(), nullable=True),
    ):
        op.add_column("price_configurations", column)
    for name in ("price_book_id", "plan_id"):
        op.create_index(f"ix_price_configurations_{name}", "price_configurations", [name])
    op.create_table(
        "price_versions",
        *_owned("price_versions"),
        sa.Column("price_configuration_id", sa.String(64), nullable=False),
        sa.Column("prices", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.BigInteger(), nullable=False),
        sa.Column("valid_until", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_price_versions_price_configuration_id", "price_versions", ["price_configuration_id"])
    for name in ("plan_id", "price_book_id"):
        op.add_column("subscriptions", sa.Column(name, sa.String(64), nullable=True))
        op.create_index(f"ix_subscriptions_{name}", "subscriptions", [name])
    op.create_table(
        "subscription_prices",
        *_owned("subscription_prices"),
        sa.Column("subscription_product_id", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("price_configuration_id", sa.String(64), nullable=False),
        sa.Column("price_book_id", sa.String(64), nullable=True),
        sa.ForeignKeyConstraint(
            ["subscription_product_id"],
            ["subscription_products.id"],
            name="fk_subscription_prices_subscription_product_id",
        ),
    )
    for name in ("subscription_product_id", "price_configuration_id", "price_book_id"):
        op.create_index(f"ix_subscription_prices_{name}", "subscription_prices", [name])
    op.create_table(
        "subscription_changes",
        *_owned("subscription_changes"),
        sa.Column("subscription_id", sa.String(64), nullable=False),
        sa.Column("subscription_product_id", sa.String(64), nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("effective_at", sa.BigInteger(), nullable=False),
        sa.Column("calculation_method", sa.String(16), nullable=False),
        sa.Column("precision", sa.String(16), nullable=False),
        sa.Column("count", sa.Text(), nullable=True),
        sa.Column("price_groups", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name="fk_subscription_changes_subscription_id"
        ),
        sa.ForeignKeyConstraint(
            ["subscription_product_id"],
            ["subscription_products.id"],
            name="fk_subscription_changes_subscription_product_id",
        ),
    )
    for name in ("subscription_id", "subscription_product_id"):
        op.create_index(f"ix_subscription_changes_{name}", "subscription_changes", [name])


def _owned(table: str) -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("mode", sa.String(4), nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=f"fk_{table}_account_id"),
    )


def _timed() -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
    )
