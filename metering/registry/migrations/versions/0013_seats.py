"""Connected seats: their terms, what was last read of them, and the cut-off and reason of a count that was read."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Create tables and add columns; null in a new column is a count that is set by hand."""
    op.add_column("subscription_products", sa.Column("seat_aggregator_id", sa.String(64), nullable=True))
    op.add_column("subscription_products", sa.Column("seat_terms", sa.Text(), nullable=True))
    op.create_index("ix_subscription_products_seat_aggregator_id", "subscription_products", ["seat_aggregator_id"])
    op.add_column("subscription_changes", sa.Column("cutoff", sa.Text(), nullable=True))
    op.add_column("subscription_changes", sa.Column("reason", sa.String(32), nullable=True))
    op.create_table(
        "seat_refreshes",
        sa.Column("subscription_product_id", sa.String(64), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("mode", sa.String(4), nullable=False),
        sa.Column("subscription_id", sa.String(64), nullable=False),
        sa.Column("aggregator_id", sa.String(64), nullable=False),
        sa.Column("schedule", sa.String(16), nullable=False),
        sa.Column("count", sa.Text(), nullable=True),
        sa.Column("cutoff", sa.Text(), nullable=False),
        sa.Column("next_refresh_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("subscription_product_id", name="pk_seat_refreshes"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_seat_refreshes_account_id"),
        sa.ForeignKeyConstraint(["subscription_id"], ["subscriptions.id"], name="fk_seat_refreshes_subscription_id"),
        sa.ForeignKeyConstraint(
            ["subscription_product_id"],
            ["subscription_products.id"],
            name="fk_seat_refreshes_subscription_product_id",
        ),
    )
    for name in ("subscription_id", "aggregator_id", "next_refresh_at"):
        op.create_index(f"ix_seat_refreshes_{name}", "seat_refreshes", [name])
    op.create_table(
        "seat_checks",
        sa.Column("aggregator_id", sa.String(64), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("mode", sa.String(4), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("cutoff", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("aggregator_id", name="pk_seat_checks"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_seat_checks_account_id"),
    )
