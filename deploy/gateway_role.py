"""`meterline gateway`: takes events and appends them to Kafka; passes all else on to the APIs.

Events need the log and the registry alone: with every API away, and the store, they are taken with 2xx all the same.
Requests of a key are counted in this process alone, so a limit holds for each gateway by itself.
"""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

from aiohttp import web

from deploy.adapters import RegistryCustomers, now
from deploy.health import PATHS
from deploy.key_use import flush_use
from deploy.log_choice import open_writer
from deploy.metrics import gateway_samples, metrics_response
from deploy.roles import Role
from deploy.tracing import request_tracing, tracer_of
from ingest.gateway.core_client import CoreUrls
from ingest.gateway.meter import CELLS, GATEWAY_METRICS, Meter
from ingest.gateway.process import GatewaySettings, serve
from metering.metrics import Tallies
from metering.registry.authenticator import KeyAuthenticator


async def serve_gateways(role: Role, stop: asyncio.Event) -> None:
    """Serve until told to stop; requests under way are finished."""
    async with AsyncExitStack() as stack:
        tallies = stack.enter_context(Tallies(role.run_dir / role.name, CELLS))

        async def metrics() -> web.StreamResponse:
            return metrics_response(GATEWAY_METRICS, gateway_samples(role.run_dir))

        async with role.answering(metrics):
            registry = await role.open_registry(stack, stop)
        authenticator = KeyAuthenticator(registry, now)
        limiter = role.config.limiter()
        if limiter is not None:
            stack.callback(limiter.close)
        role.health.checks = {"the registry": role.registry_answers(registry), "the log": role.log_answers()}
        role.health.started = True
        tracer = stack.enter_context(tracer_of(role.config))
        flushing = asyncio.create_task(flush_use(authenticator))
        stack.push_async_callback(_end, flushing)
        await serve(
            GatewaySettings(
                listener=role.own_listener(),
                core=CoreUrls(role.settings.api_urls, role.settings.internal_secret),
                open_log=partial(open_writer, role.config),
                authenticator=authenticator,
                identifiers=RegistryCustomers(registry),
                limiter=limiter,
                meter=Meter(tallies),
                tracing=request_tracing(tracer),
                own={**dict.fromkeys(PATHS, role.health.answer), "/metrics": partial(role.scraped, metrics)},
            ),
            stop,
        )


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
