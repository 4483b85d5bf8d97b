"""The systems that usage can be pulled from, by the names that the API gives them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Provider(StrEnum):
    """A kind of source."""

    POSTGRES = "postgres"
    MYSQL = "mysql"
    MONGODB = "mongodb"
    BIGQUERY = "bigquery"
    SNOWFLAKE = "snowflake"


URL_PROVIDERS = frozenset({Provider.POSTGRES, Provider.MYSQL, Provider.MONGODB})
"""These are reached by a `url`, the others by `credentials`."""


@dataclass(frozen=True, slots=True)
class Address:
    """How one source is reached, secrets and all; never printed. Of `url` and `credentials` one is given."""

    provider: Provider
    url: str = field(default="", repr=False)
    credentials: Mapping[str, Any] = field(default_factory=dict, repr=False)
