"""When a product of a subscription is billed: at the start of its period, or at the end."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add the column; null is the usual of the product's kind."""
    op.add_column("subscription_products", sa.Column("payment_schedule", sa.String(16), nullable=True))
