"""`meterline loaders`: reads what is due from its sources into Kafka; any number may run, each run happens once.

It keeps nothing: a run that is killed in its midst is begun again by another, with the cursor that it had.
"""

import asyncio
from contextlib import AsyncExitStack

from aiohttp import web

from deploy.loaders_part import running
from deploy.log_choice import open_writer
from deploy.metrics import UP, loader_samples, metrics_response, up_sample
from deploy.roles import Role
from loaders.running.meter import LOADER_METRICS


async def serve_loaders_apart(role: Role, stop: asyncio.Event) -> None:
    """Run dataloaders until told to stop; runs under way are left to who comes next.

    Raises:
        DataTooNewError, SettingsError, LogMismatchError: waiting will not help.
    """

    async def metrics() -> web.StreamResponse:
        samples = {**loader_samples(role.run_dir), **up_sample("loaders", up=role.health.started)}
        return metrics_response((*LOADER_METRICS, UP), samples)

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(role.answering(metrics))
        registry = await role.open_registry(stack, stop)
        writer = await role.there("the log", lambda: open_writer(role.config), stop)
        stack.push_async_callback(writer.close)
        await stack.enter_async_context(running(role.config, registry, writer))
        role.health.checks = {"the registry": role.registry_answers(registry), "the log": role.log_answers()}
        role.health.started = True
        await stop.wait()
