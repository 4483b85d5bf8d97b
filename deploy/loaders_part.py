"""The process that runs dataloaders: what is due is read from its source into the log.

A process of its own, so that neither a driver nor millions of rows slow down who answers requests. Drivers are imported
when a run needs them.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from deploy.beside import going_on
from deploy.clock import now
from deploy.loader_settings import LoaderSettings
from deploy.log_choice import open_writer
from deploy.parts import PartConfig
from deploy.settings import read_keyring, read_source_policy
from ingest.log.protocol import LogWriter
from loaders.connections.registry import Connections
from loaders.limits import SourceLimits
from loaders.opening import open_source
from loaders.running.meter import LOADER_CELLS, LoaderMeter
from loaders.running.runner import LoaderRunner
from loaders.running.work import Means
from metering.metrics import Tallies
from metering.registry.engine import Registry


async def serve_loaders(config: PartConfig, stop: asyncio.Event) -> None:
    """Run dataloaders until told to stop; runs under way are left to the next start, which begins them again."""
    async with AsyncExitStack() as stack:
        registry = Registry(config.registry_url)
        stack.callback(registry.close)
        writer = await open_writer(config)
        stack.push_async_callback(writer.close)
        # The local log has one supervisor, which starts this part again when its process is gone.
        await stack.enter_async_context(running(config, registry, writer, alone=not config.log_url))
        await stop.wait()


@asynccontextmanager
async def running(
    config: PartConfig, registry: Registry, writer: LogWriter, *, alone: bool = False
) -> AsyncIterator[None]:
    """Run dataloaders within the block; it counts into the run folder. `alone` as in `LoaderRunner`.

    Raises:
        SettingError: a variable is not usable.
    """
    settings = config.loaders or LoaderSettings()
    folder = Path(settings.folder or Path(config.data_dir) / "loaders")
    await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
    addresses = Connections(registry, read_keyring(Path(config.data_dir)))
    limits = SourceLimits(statement_s_max=float(settings.statement_s_max))
    opener = partial(open_source, policy=read_source_policy(), limits=limits)
    with Tallies(Path(config.run_dir) / config.name, LOADER_CELLS) as tallies:
        meter = LoaderMeter(tallies)
        means = Means(registry, writer, addresses, opener, now, folder, settings.limits(), meter.read)
        async with going_on({"dataloaders": LoaderRunner(means, meter, alone=alone).run}):
            yield
