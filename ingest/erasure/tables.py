"""The table of erasures, in the registry's database and metadata: each is the record that it was asked for and done.

`kept` says which properties stay, by event type (`*`: of all), because figures are made of them. `bounds` is the last
position of each lane that the erasure covers, null until it is known.
"""

import sqlalchemy as sa

from metering.registry.columns import ExactJson, Instant
from metering.registry.tables import metadata, world_columns

erasures = sa.Table(
    "erasures",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("customer_id", sa.String(64), nullable=False),
    sa.Column("identifiers", ExactJson, nullable=False),
    sa.Column("kept", ExactJson, nullable=False),
    sa.Column("requested_by", sa.String(64), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("step", sa.String(64), nullable=False),
    sa.Column("bounds", ExactJson),
    sa.Column("events", sa.BigInteger, nullable=False),
    sa.Column("dead_letters", sa.BigInteger, nullable=False),
    sa.Column("segments", sa.BigInteger, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Index("ix_erasures_status_created", "status", "created_at", "id"),
)
