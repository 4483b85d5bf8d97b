"""Formulas of aggregators, and every version of their definitions; those that are there are version 1."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_FIRST_VERSIONS = """
INSERT INTO aggregator_versions
    (aggregator_id, version, account_id, mode, revision, changed_at, changed_by,
     name, entity, operation, property, "where", unit_name, status, details)
SELECT id, 1, account_id, mode,
       row_number() OVER (PARTITION BY account_id, mode ORDER BY created_at, id), created_at, NULL,
       name, entity, operation, property, "where", unit_name, status, details
FROM aggregators
"""


def upgrade() -> None:
    """Add the columns and the table, and begin each aggregator's history with what it is now."""
    op.add_column("aggregators", sa.Column("formula_sql", sa.Text(), nullable=True))
    op.add_column("aggregators", sa.Column("version", sa.Integer(), nullable=False, server_default="1"))
    op.create_table(
        "aggregator_versions",
        sa.Column("aggregator_id", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("mode", sa.String(4), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.String(64), nullable=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("entity", sa.String(255), nullable=False),
        sa.Column("operation", sa.String(32), nullable=False),
        sa.Column("property", sa.String(255), nullable=True),
        sa.Column("formula_sql", sa.Text(), nullable=True),
        sa.Column("where", sa.Text(), nullable=True),
        sa.Column("unit_name", sa.String(255), nullable=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("aggregator_id", "version", name="pk_aggregator_versions"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_aggregator_versions_account_id"),
        sa.UniqueConstraint("account_id", "mode", "revision", name="uq_aggregator_versions_account_id_mode_revision"),
    )
    op.execute(_FIRST_VERSIONS)
