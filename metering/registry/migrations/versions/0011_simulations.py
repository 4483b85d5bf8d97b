"""Simulations of draft prices: what was asked, how far each is, and what each customer comes to."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Create their tables."""
    op.create_table(
        "simulations",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("mode", sa.String(4), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("cutoff", sa.Text(), nullable=False),
        sa.Column("progress", sa.Integer(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("worker", sa.String(64), nullable=True),
        sa.Column("held_until", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_simulations"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_simulations_account_id"),
    )
    op.create_index("ix_simulations_world_created", "simulations", ["account_id", "mode", "created_at", "id"])
    op.create_index("ix_simulations_status_created", "simulations", ["status", "created_at", "id"])
    op.create_table(
        "simulation_outcomes",
        sa.Column("simulation_id", sa.String(64), nullable=False),
        sa.Column("customer_id", sa.String(64), nullable=False),
        sa.Column("current", sa.BigInteger(), nullable=True),
        sa.Column("amounts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("simulation_id", "customer_id", name="pk_simulation_outcomes"),
        sa.ForeignKeyConstraint(["simulation_id"], ["simulations.id"], name="fk_simulation_outcomes_simulation_id"),
    )
