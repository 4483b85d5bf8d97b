"""From an address to the source that it belongs to. A driver is imported when it is first needed."""

from importlib import import_module
from typing import cast

from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.provider import Address, Provider
from loaders.source import Source

_MODULES = {
    Provider.POSTGRES: "loaders.sources.postgres",
    Provider.MYSQL: "loaders.sources.mysql",
    Provider.MONGODB: "loaders.sources.mongodb",
    Provider.BIGQUERY: "loaders.sources.bigquery",
    Provider.SNOWFLAKE: "loaders.sources.snowflake",
}


def open_source(address: Address, policy: HostPolicy, limits: SourceLimits) -> Source:
    """Give a source that is not connected yet.

    Raises:
        SourceDeniedError: the address cannot be understood; the message names the part and the remedy.
    """
    return cast(Source, import_module(_MODULES[address.provider]).open_source(address, policy, limits))
