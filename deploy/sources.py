"""What connections to other people's databases stand on, put together from what the operator set."""

from functools import partial
from pathlib import Path

from deploy.adapters import now
from deploy.settings import read_keyring, read_source_policy
from loaders.connections.keeping import ConnectionKeeper
from loaders.connections.pinging import Pinger
from loaders.dataloaders.use import DataloaderUse
from loaders.limits import SourceLimits
from loaders.opening import open_source
from metering.registry.engine import Registry


def make_keeper(registry: Registry, data_dir: Path) -> ConnectionKeeper:
    """Give the keeper of connections of this process.

    Raises:
        SettingError: a variable is not usable.
    """
    opener = partial(open_source, policy=read_source_policy(), limits=SourceLimits())
    return ConnectionKeeper(registry, read_keyring(data_dir), Pinger(opener), now, DataloaderUse())
