"""The table of kept prices, in the registry's database and metadata. Importing this module declares it."""

import sqlalchemy as sa

from metering.registry.columns import ExactJson, Instant
from metering.registry.tables import metadata, world_columns

# One row for each version of an event that was priced; its id follows from the version, so there is never a second one.
# `result` is what was answered, `cutoff` what it was worked out at.
event_prices = sa.Table(
    "event_prices",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("event_type", sa.String(255), nullable=False),
    sa.Column("record_id", sa.String(255), nullable=False),
    sa.Column("event_timestamp", Instant, nullable=False),
    sa.Column("record", ExactJson, nullable=False),
    sa.Column("result", ExactJson, nullable=False),
    sa.Column("cutoff", sa.Text, nullable=False),
    sa.Column("calculated_at", Instant, nullable=False),
    sa.Index("ix_event_prices_world_calculated", "account_id", "mode", "calculated_at", "id"),
    sa.Index("ix_event_prices_world_record", "account_id", "mode", "record_id"),
)
