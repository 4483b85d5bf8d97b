"""What stands against deleting a connection: the dataloaders that pull over it."""

import sqlalchemy as sa

from loaders.connections.registry import StoredConnection
from loaders.dataloaders.tables import dataloaders


class DataloaderUse:
    """Finds the dataloaders of a connection."""

    def use_of_connection(self, connection: sa.Connection, stored: StoredConnection, /) -> str | None:
        """Name one dataloader, or say how many there are; None when there is none."""
        query = sa.select(dataloaders.c.id).where(
            dataloaders.c.connection_id == stored.id,
            dataloaders.c.account_id == stored.world.account_id,
            dataloaders.c.mode == stored.world.mode.value,
        )
        found = list(connection.execute(query).scalars())
        if not found:
            return None
        return f"dataloader {found[0]}" if len(found) == 1 else f"{len(found)} dataloaders"
