"""The table of import jobs, in the registry's database and metadata. Importing this module declares it."""

import sqlalchemy as sa

from metering.registry.columns import ExactJson, Instant
from metering.registry.tables import metadata, world_columns

# `rows_total` is also the cursor: rows before it are in the log or told as rejected, so a job that was interrupted
# passes over so many. `rejected` holds the first rejects, `message` what stopped a job.
imports = sa.Table(
    "imports",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("bytes_total", sa.BigInteger, nullable=False),
    sa.Column("bytes_read", sa.BigInteger, nullable=False),
    sa.Column("rows_total", sa.BigInteger, nullable=False),
    sa.Column("rows_accepted", sa.BigInteger, nullable=False),
    sa.Column("rows_rejected", sa.BigInteger, nullable=False),
    sa.Column("rejected", ExactJson, nullable=False),
    sa.Column("message", sa.Text),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Index("ix_imports_world_created", "account_id", "mode", "created_at", "id"),
    sa.Index("ix_imports_status_created", "status", "created_at", "id"),
)
