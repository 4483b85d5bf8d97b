"""The tables of dataloaders, in the registry's database and metadata. Importing this module declares them."""

import sqlalchemy as sa

from loaders.connections.tables import connections
from metering.registry.columns import ExactJson, Instant
from metering.registry.tables import metadata, world_columns

# `cursor` is the greatest value that ended runs have read, null before the first; `last_run_at` is when the last of
# them began, by the source's clock. `definition` counts the changes after which both begin anew: a run saves them only
# if it began with the same. `scheduled_from` is where the grid of intervals begins; `next_run_at` is null when nothing
# is due by itself.
dataloaders = sa.Table(
    "dataloaders",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("connection_id", sa.String(64), sa.ForeignKey(connections.c.id), nullable=False, index=True),
    sa.Column("name", sa.String(255)),
    sa.Column("event_type", sa.String(255), nullable=False),
    sa.Column("query", sa.Text, nullable=False),
    sa.Column("refresh_interval", sa.String(4)),
    sa.Column("cron", sa.String(100)),
    sa.Column("cursor_column", sa.String(255)),
    sa.Column("cursor_start", ExactJson),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("definition", sa.Integer, nullable=False),
    sa.Column("cursor", ExactJson),
    sa.Column("last_run_at", Instant),
    sa.Column("scheduled_from", Instant, nullable=False),
    sa.Column("next_run_at", Instant),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Index("ix_dataloaders_world_created", "account_id", "mode", "created_at", "id"),
    sa.Index("ix_dataloaders_next_run", "next_run_at"),
)

UNFINISHED = ("pending", "processing")

# `worker` holds a run until `held_until`; `attempts` counts how often it was begun. `cancel_asked` says why it shall
# end before its end. `rejected` holds the first faults of rows, `message` what stopped a run.
dataloader_runs = sa.Table(
    "dataloader_runs",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("dataloader_id", sa.String(64), sa.ForeignKey(dataloaders.c.id), nullable=False),
    sa.Column("connection_id", sa.String(64), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("trigger", sa.String(16), nullable=False),
    sa.Column("from_start", sa.Boolean, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("worker", sa.String(64)),
    sa.Column("held_until", Instant),
    sa.Column("cancel_asked", sa.Text),
    sa.Column("rows_read", sa.BigInteger, nullable=False),
    sa.Column("rows_accepted", sa.BigInteger, nullable=False),
    sa.Column("rows_rejected", sa.BigInteger, nullable=False),
    sa.Column("rejected", ExactJson, nullable=False),
    sa.Column("message", sa.Text),
    sa.Column("cursor", ExactJson),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("started_at", Instant),
    sa.Column("ended_at", Instant),
    sa.Index("ix_dataloader_runs_dataloader_created", "dataloader_id", "created_at", "id"),
    sa.Index("ix_dataloader_runs_status_created", "status", "created_at", "id"),
)

# What makes overlapping runs impossible, whoever tries: one row of each dataloader may be unfinished.
sa.Index(
    "uq_dataloader_runs_unfinished",
    dataloader_runs.c.dataloader_id,
    unique=True,
    sqlite_where=dataloader_runs.c.status.in_(UNFINISHED),
    postgresql_where=dataloader_runs.c.status.in_(UNFINISHED),
)
