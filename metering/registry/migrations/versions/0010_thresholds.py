"""Up to which cut-off usage was compared with an aggregator's thresholds."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Create their table."""
    op.create_table(
        "threshold_checks",
        sa.Column("aggregator_id", sa.String(64), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("mode", sa.String(4), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("cutoff", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("aggregator_id", name="pk_threshold_checks"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_threshold_checks_account_id"),
    )
