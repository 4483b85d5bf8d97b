"""What credits were bought for, and in the invoices of which subscription."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Add the columns; null is what was not bought."""
    op.add_column("credit_transactions", sa.Column("amount", sa.BigInteger(), nullable=True))
    op.add_column("credit_transactions", sa.Column("currency", sa.String(3), nullable=True))
    op.add_column("credit_transactions", sa.Column("subscription_id", sa.String(64), nullable=True))
    op.add_column("credit_transactions", sa.Column("product_id", sa.String(64), nullable=True))
    op.create_index("ix_credit_transactions_subscription_id", "credit_transactions", ["subscription_id"])
