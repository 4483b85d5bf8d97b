"""Ask the registrar once for each customer that events name, not once for each batch.

Only a saving: who was ensured once stays ensured, because customers that go away leave an automatic one behind.
"""

from collections.abc import Mapping

from ingest.consumer.seams import CustomerRegistrar
from metering.world import World

KNOWN_MAX = 1_000_000


class KnownCustomers:
    """A bounded memory of who was ensured."""

    def __init__(self, registrar: CustomerRegistrar, known_max: int = KNOWN_MAX) -> None:
        self._registrar = registrar
        self._known_max = known_max
        self._known: dict[World, set[str]] = {}
        self._known_count = 0

    async def ensure(self, named: Mapping[World, set[str]]) -> None:
        """See to it that everybody named is a customer.

        Raises:
            UnavailableError: some may have been made; call again.
        """
        for world, identifiers in named.items():
            known = self._known.setdefault(world, set())
            new = identifiers - known
            if new:
                await self._registrar.ensure(world, new)
                known |= new
                self._known_count += len(new)
        if self._known_count > self._known_max:
            self._known.clear()
            self._known_count = 0
