"""The registry's tables. Everything that belongs to a client carries `account_id` and `mode`: the wall between worlds.

`migrations/` brings a database to this shape; a test holds the two against each other.
"""

import sqlalchemy as sa

from metering.registry.columns import ExactJson, Instant

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def world_columns() -> tuple[sa.Column[str], sa.Column[str]]:
    """Give the two columns that say whose a row is."""
    return (
        sa.Column("account_id", sa.String(64), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("mode", sa.String(4), nullable=False),
    )


accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    sa.Column("created_at", Instant, nullable=False),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("start", sa.String(16), nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False, unique=True),
    sa.Column("scopes", ExactJson, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant),
    sa.Column("revoked_at", Instant),
    sa.Column("last_used_at", Instant),
)

customers = sa.Table(
    "customers",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("type", sa.String(32), nullable=False),
    sa.Column("external_id", sa.String(255)),
    sa.Column("name", sa.String(255)),
    sa.Column("currency", sa.String(3)),
    sa.Column("country", sa.String(2)),
    sa.Column("timezone", sa.String(64)),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("details", ExactJson, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Index("ix_customers_world_created", "account_id", "mode", "created_at", "id"),
)

customer_ids = sa.Table(
    "customer_ids",
    metadata,
    *world_columns(),
    sa.Column("identifier", sa.String(255), nullable=False),
    sa.Column("customer_id", sa.String(64), sa.ForeignKey("customers.id"), nullable=False, index=True),
    sa.PrimaryKeyConstraint("account_id", "mode", "identifier"),
)

aggregators = sa.Table(
    "aggregators",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("entity", sa.String(255), nullable=False),
    sa.Column("operation", sa.String(32), nullable=False),
    sa.Column("property", sa.String(255)),
    sa.Column("where", ExactJson),
    sa.Column("unit_name", sa.String(255)),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("details", ExactJson, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Column("formula_sql", sa.Text),
    sa.Column("version", sa.Integer, nullable=False, server_default="1"),
    sa.Index("ix_aggregators_world_created", "account_id", "mode", "created_at", "id"),
)

# Every definition that an aggregator has had, its present one included; they outlive it. `revision` counts the changes
# of a world in the order in which they were committed, so that a point in that order names what was in force.
aggregator_versions = sa.Table(
    "aggregator_versions",
    metadata,
    sa.Column("aggregator_id", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    *world_columns(),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
    sa.Column("changed_by", sa.String(64)),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("entity", sa.String(255), nullable=False),
    sa.Column("operation", sa.String(32), nullable=False),
    sa.Column("property", sa.String(255)),
    sa.Column("formula_sql", sa.Text),
    sa.Column("where", ExactJson),
    sa.Column("unit_name", sa.String(255)),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("details", ExactJson, nullable=False),
    sa.UniqueConstraint("account_id", "mode", "revision"),
)

lanes = sa.Table(
    "lanes",
    metadata,
    sa.Column("lane", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("log_id", sa.String(64), nullable=False),
    sa.Column("partition", sa.Integer, nullable=False),
    sa.Column("opened_at", Instant, nullable=False),
    sa.UniqueConstraint("log_id", "partition"),
)

page_sessions = sa.Table(
    "page_sessions",
    metadata,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("key_id", sa.String(64), sa.ForeignKey("api_keys.id"), nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
)

kept_answers = sa.Table(
    "kept_answers",
    metadata,
    *world_columns(),
    sa.Column("key", sa.String(255), nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("attempt", sa.String(32), nullable=False),
    sa.Column("started_at", Instant, nullable=False, index=True),
    sa.Column("changed_at", Instant),
    sa.Column("status", sa.Integer),
    sa.Column("headers", ExactJson),
    sa.Column("body", sa.LargeBinary),
    sa.PrimaryKeyConstraint("account_id", "mode", "key"),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("event_type", sa.String(64), nullable=False),
    sa.Column("fact_key", sa.String(512), nullable=False),
    sa.Column("data", ExactJson, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.UniqueConstraint("account_id", "mode", "fact_key"),
    sa.Index("ix_outbox_world_created", "account_id", "mode", "created_at", "id"),
)

threshold_checks = sa.Table(
    "threshold_checks",
    metadata,
    sa.Column("aggregator_id", sa.String(64), primary_key=True),
    *world_columns(),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("day", sa.Integer, nullable=False),
    sa.Column("cutoff", sa.Text, nullable=False),
)
