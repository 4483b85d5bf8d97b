"""Metering windows apart from billed periods, and periods by anniversary."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add their columns; null is what was agreed before there was a choice."""
    op.add_column("subscriptions", sa.Column("billing_cycle_alignment", sa.String(16), nullable=True))
    op.add_column("subscription_products", sa.Column("metering", sa.Text(), nullable=True))
