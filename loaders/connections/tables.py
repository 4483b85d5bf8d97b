"""The table of connections, in the registry's database and metadata. Importing this module declares it."""

import sqlalchemy as sa

from metering.registry.columns import ExactJson, Instant
from metering.registry.tables import metadata, world_columns

# `shown` is what may be told of the address, secrets masked; `secret` is the whole address, encrypted.
connections = sa.Table(
    "connections",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("provider", sa.String(16), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("shown", ExactJson, nullable=False),
    sa.Column("secret", sa.Text, nullable=False),
    sa.Column("warnings", ExactJson, nullable=False),
    sa.Column("pinged_at", Instant),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Index("ix_connections_world_created", "account_id", "mode", "created_at", "id"),
)
