"""Credits that customers have, what was topped up and retained, and what a subscription's credits last."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Create the tables and add the column; null is a product that holds no credits."""
    op.add_column("subscription_products", sa.Column("credit_terms", sa.Text(), nullable=True))
    op.create_table(
        "credit_accounts",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("mode", sa.String(4), nullable=False),
        sa.Column("customer_id", sa.String(64), nullable=False),
        sa.Column("product_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=True),
        sa.Column("low_count_threshold", sa.Text(), nullable=True),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("told_since", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_credit_accounts"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_credit_accounts_account_id"),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name="fk_credit_accounts_customer_id"),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name="fk_credit_accounts_product_id"),
    )
    op.create_index("ix_credit_accounts_product_id", "credit_accounts", ["product_id"])
    op.create_index("ix_credit_accounts_owner", "credit_accounts", ["customer_id", "product_id"], unique=True)
    op.create_table(
        "credit_transactions",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("mode", sa.String(4), nullable=False),
        sa.Column("account_key", sa.String(64), nullable=False),
        sa.Column("type", sa.String(16), nullable=False),
        sa.Column("credits", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("event_id", sa.String(255), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_credit_transactions"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_credit_transactions_account_id"),
        sa.ForeignKeyConstraint(["account_key"], ["credit_accounts.id"], name="fk_credit_transactions_account_key"),
    )
    op.create_index("ix_credit_transactions_account_key", "credit_transactions", ["account_key", "created_at"])
