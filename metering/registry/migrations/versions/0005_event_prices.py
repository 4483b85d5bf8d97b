"""Prices of events, kept as they were first answered."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create their table."""
    op.create_table(
        "event_prices",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("mode", sa.String(4), nullable=False),
        sa.Column("event_type", sa.String(255), nullable=False),
        sa.Column("record_id", sa.String(255), nullable=False),
        sa.Column("event_timestamp", sa.BigInteger(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("cutoff", sa.Text(), nullable=False),
        sa.Column("calculated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_event_prices"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_event_prices_account_id"),
    )
    op.create_index("ix_event_prices_world_calculated", "event_prices", ["account_id", "mode", "calculated_at", "id"])
    op.create_index("ix_event_prices_world_record", "event_prices", ["account_id", "mode", "record_id"])
