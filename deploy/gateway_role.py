"""`meterline gateway`: takes events and appends them to Kafka; passes all else on to the APIs.

Events need the log and the registry alone: with every API away, and the store, they are taken with 2xx all the same.
Requests of a key are counted in this process alone, so a limit holds for each gateway by itself.

With METERLINE_SPOOL_DIR it holds a spool of its own, in this process: events are taken while Kafka is away too, and
forwarded when it is back, by the next start at the latest.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from aiohttp import web

from deploy.adapters import RegistryCustomers
from deploy.clock import now
from deploy.health import PATHS, Check
from deploy.key_use import flush_use
from deploy.log_choice import open_log, open_writer
from deploy.metrics import SPOOL_METRICS, gateway_samples, metrics_response, spool_samples
from deploy.parts import PartConfig
from deploy.roles import Role
from deploy.tracing import request_tracing, tracer_of
from ingest.errors import IngestError, LogHeldError, LogUnavailableError
from ingest.gateway.core_client import CoreUrls
from ingest.gateway.meter import CELLS, GATEWAY_METRICS, Meter
from ingest.gateway.process import GatewaySettings, serve
from ingest.log.spool.process import serve as serve_spool
from ingest.log.spool.state import SpoolState
from metering.errors import SettingsError
from metering.metrics import Tallies
from metering.registry.authenticator import KeyAuthenticator

LOG_S_MAX = 2.0
"""So long the log is asked whether it is there, where a spool stands in for it."""


async def serve_gateways(role: Role, stop: asyncio.Event) -> None:
    """Serve until told to stop; requests under way are finished."""
    async with AsyncExitStack() as stack:
        tallies = stack.enter_context(Tallies(role.run_dir / role.name, CELLS))
        spool = await stack.enter_async_context(spooling(role, stop))

        async def metrics() -> web.StreamResponse:
            samples = gateway_samples(role.run_dir)
            if spool is None:
                return metrics_response(GATEWAY_METRICS, samples)
            return metrics_response((*GATEWAY_METRICS, *SPOOL_METRICS), samples | await spool_samples(spool))

        async with role.answering(metrics):
            registry = await role.open_registry(stack, stop)
        authenticator = KeyAuthenticator(registry, now)
        limiter = role.config.limiter()
        if limiter is not None:
            stack.callback(limiter.close)
        takes_events = role.log_answers() if spool is None else _or_room(role.log_answers(), spool, role.config)
        role.health.checks = {"the registry": role.registry_answers(registry), "the log": takes_events}
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
                spool=spool,
                own={**dict.fromkeys(PATHS, role.health.answer), "/metrics": partial(role.scraped, metrics)},
            ),
            stop,
        )


@asynccontextmanager
async def spooling(role: Role, stop: asyncio.Event) -> AsyncIterator[SpoolState | None]:
    """Hold this gateway's spool within the block, None where it has none; `stop` is set when it fails.

    Raises:
        SettingsError: its folder cannot be used, or another process holds it.
        LogCorruptError: what was spooled is damaged or gone.
        LogUnavailableError: its disk failed; start again.
    """
    folder = role.settings.spool_dir
    if folder is None:
        yield None
        return
    ended, opened = asyncio.Event(), asyncio.Event()
    holding = asyncio.create_task(_hold(role.config, folder, ended, opened))
    opening = asyncio.create_task(opened.wait())
    await asyncio.wait({holding, opening}, return_when=asyncio.FIRST_COMPLETED)
    if not opened.is_set():
        opening.cancel()
        await holding  # It says why.
    holding.add_done_callback(lambda _: stop.set())
    try:
        yield SpoolState(folder)
    finally:
        ended.set()  # Last: a request under way may still have come to lie here.
        await holding


async def _hold(config: PartConfig, folder: Path, ended: asyncio.Event, opened: asyncio.Event) -> None:
    try:
        await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        open_target = partial(open_log, config)
        await serve_spool(
            folder, config.spool_socket, open_target, ended, bytes_max=config.spool_bytes_max, opened=opened.set
        )
    except LogHeldError:
        raise SettingsError(
            f"METERLINE_SPOOL_DIR={folder}: another process holds this spool: give each gateway a folder of its own"
        ) from None
    except OSError as error:
        raise SettingsError(f"METERLINE_SPOOL_DIR={folder} cannot be used: {error}") from None


def _or_room(log_answers: Check, spool: SpoolState, config: PartConfig) -> Check:
    """Give the check of whether events are taken: the log answers, or the spool has room."""

    async def check() -> None:
        try:
            async with asyncio.timeout(LOG_S_MAX):
                await log_answers()
        except (IngestError, TimeoutError):
            if (await asyncio.to_thread(spool.spooled)).bytes >= config.spool_bytes_max:
                raise LogUnavailableError("the log does not answer, and the spool is full") from None

    return check


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
