"""A gateway worker: checks events and appends them; passes everything else on to the core."""

import asyncio
import socket
from functools import partial
from pathlib import Path

from deploy.adapters import RegistryCustomers
from deploy.clock import now
from deploy.key_use import flush_use
from deploy.log_choice import open_writer
from deploy.parts import PartConfig
from deploy.tracing import request_tracing, tracer_of
from ingest.gateway.meter import CELLS, Meter
from ingest.gateway.process import GatewaySettings, serve
from metering.metrics import Tallies
from metering.registry.authenticator import KeyAuthenticator
from metering.registry.engine import Registry


async def serve_gateway(config: PartConfig, stop: asyncio.Event) -> None:
    """Serve on the inherited socket until told to stop; requests under way are finished."""
    registry = Registry(config.registry_url)
    authenticator = KeyAuthenticator(registry, now)
    limiter = config.limiter()
    tallies = Tallies(Path(config.run_dir) / config.name, CELLS)
    flushing = asyncio.create_task(flush_use(authenticator))
    try:
        with tracer_of(config) as tracer:
            await serve(
                GatewaySettings(
                    listener=socket.socket(fileno=config.listener),
                    core=config.core_socket,
                    open_log=partial(open_writer, config),
                    authenticator=authenticator,
                    identifiers=RegistryCustomers(registry),
                    limiter=limiter,
                    meter=Meter(tallies),
                    tracing=request_tracing(tracer),
                ),
                stop,
            )
    finally:
        flushing.cancel()
        await asyncio.gather(flushing, return_exceptions=True)
        if limiter is not None:
            limiter.close()
        registry.close()
