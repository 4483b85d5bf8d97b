"""What connections to other people's databases stand on, put together from what the operator set."""

from functools import partial
from pathlib import Path

import structlog

from deploy.clock import now
from deploy.settings import read_keyring, read_source_policy
from loaders.connections.keeping import ConnectionKeeper
from loaders.connections.pinging import Pinger
from loaders.connections.registry import Connections
from loaders.dataloaders.preview import STATEMENT_S_MAX, Previews
from loaders.dataloaders.registry import use_of_connection
from loaders.limits import SourceLimits
from loaders.opening import open_source
from loaders.secrets.keys import NoKeys
from metering.registry.engine import Registry

_log = structlog.get_logger(__name__)


def make_keeper(registry: Registry, data_dir: Path) -> ConnectionKeeper:
    """Give the keeper of connections of this process.

    Raises:
        SettingError: a variable is not usable.
    """
    keys = read_keyring(data_dir)
    if isinstance(keys, NoKeys):
        _log.warning("connections cannot be saved: there is no key to keep their passwords with", remedy=keys.remedy)
    opener = partial(open_source, policy=read_source_policy(), limits=SourceLimits())
    return ConnectionKeeper(registry, keys, Pinger(opener), now, use_of_connection)


def make_previews(keeper: ConnectionKeeper) -> Previews:
    """Give the previews of this process, over the connections of a keeper.

    Raises:
        SettingError: a variable is not usable.
    """
    limits = SourceLimits(statement_s_max=STATEMENT_S_MAX)
    opener = partial(open_source, policy=read_source_policy(), limits=limits)
    return Previews(Connections(keeper.registry, keeper.keys), opener)
