"""Coupons, and the subscriptions that they discount."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "coupons",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("mode", sa.String(4), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("product_ids", sa.Text(), nullable=True),
        sa.Column("redemption_limit", sa.Integer(), nullable=True),
        sa.Column("expiration_date", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_coupons"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_coupons_account_id"),
    )
    op.create_index("ix_coupons_world_created", "coupons", ["account_id", "mode", "created_at", "id"])
    op.create_table(
        "subscription_coupons",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("mode", sa.String(4), nullable=False),
        sa.Column("subscription_id", sa.String(64), nullable=False),
        sa.Column("coupon_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("product_ids", sa.Text(), nullable=True),
        sa.Column("effective_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("removal_id", sa.String(64), nullable=True),
        sa.Column("removed_from", sa.BigInteger(), nullable=True),
        sa.Column("removed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_subscription_coupons"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_subscription_coupons_account_id"),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name="fk_subscription_coupons_subscription_id"
        ),
        sa.ForeignKeyConstraint(["coupon_id"], ["coupons.id"], name="fk_subscription_coupons_coupon_id"),
    )
    for name in ("subscription_id", "coupon_id"):
        op.create_index(f"ix_subscription_coupons_{name}", "subscription_coupons", [name])
