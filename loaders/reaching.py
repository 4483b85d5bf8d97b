"""How whoever runs queries comes from a connection's id to a source."""

from collections.abc import Callable
from typing import Protocol

from loaders.provider import Address
from loaders.source import Source
from metering.world import World


class Addresses(Protocol):
    """Who opens connections."""

    def address_of(self, world: World, connection_id: str) -> Address:
        """Give how a connection of this world is reached, secrets and all. Blocks; any thread may ask.

        Raises:
            SourceDeniedError: there is no such connection, or its secret does not open.
            RegistryUnavailableError: the registry does not answer.
        """
        ...


OpenSource = Callable[[Address], Source]
"""Give a source that is not connected yet; it knows the operator's policy and limits."""
