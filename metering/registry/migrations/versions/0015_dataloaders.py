"""Dataloaders: queries over an account's databases, and their runs."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_UNFINISHED = sa.text("status IN ('pending', 'processing')")


def upgrade() -> None:
    """Create their tables."""
    op.create_table(
        "dataloaders",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("mode", sa.String(4), nullable=False),
        sa.Column("connection_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=True),
        sa.Column("event_type", sa.String(255), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("refresh_interval", sa.String(4), nullable=True),
        sa.Column("cron", sa.String(100), nullable=True),
        sa.Column("cursor_column", sa.String(255), nullable=True),
        sa.Column("cursor_start", sa.Text(), nullable=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("definition", sa.Integer(), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("last_run_at", sa.BigInteger(), nullable=True),
        sa.Column("scheduled_from", sa.BigInteger(), nullable=False),
        sa.Column("next_run_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dataloaders"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_dataloaders_account_id"),
        sa.ForeignKeyConstraint(["connection_id"], ["connections.id"], name="fk_dataloaders_connection_id"),
    )
    op.create_index("ix_dataloaders_world_created", "dataloaders", ["account_id", "mode", "created_at", "id"])
    op.create_index("ix_dataloaders_next_run", "dataloaders", ["next_run_at"])
    op.create_index("ix_dataloaders_connection_id", "dataloaders", ["connection_id"])
    op.create_table(
        "dataloader_runs",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("mode", sa.String(4), nullable=False),
        sa.Column("dataloader_id", sa.String(64), nullable=False),
        sa.Column("connection_id", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("trigger", sa.String(16), nullable=False),
        sa.Column("from_start", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(64), nullable=True),
        sa.Column("held_until", sa.BigInteger(), nullable=True),
        sa.Column("cancel_asked", sa.Text(), nullable=True),
        sa.Column("rows_read", sa.BigInteger(), nullable=False),
        sa.Column("rows_accepted", sa.BigInteger(), nullable=False),
        sa.Column("rows_rejected", sa.BigInteger(), nullable=False),
        sa.Column("rejected", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_dataloader_runs"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_dataloader_runs_account_id"),
        sa.ForeignKeyConstraint(["dataloader_id"], ["dataloaders.id"], name="fk_dataloader_runs_dataloader_id"),
    )
    op.create_index("ix_dataloader_runs_dataloader_created", "dataloader_runs", ["dataloader_id", "created_at", "id"])
    op.create_index("ix_dataloader_runs_status_created", "dataloader_runs", ["status", "created_at", "id"])
    op.create_index(
        "uq_dataloader_runs_unfinished",
        "dataloader_runs",
        ["dataloader_id"],
        unique=True,
        sqlite_where=_UNFINISHED,
        postgresql_where=_UNFINISHED,
    )
