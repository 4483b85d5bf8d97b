"""The core process: the consumer that applies the log to the store, and everything that is answered from there.

chDB allows one engine a process and one process a path, so what writes the store and what reads it live together.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from aiohttp import web

import billing.api
import metering.api
from billing.corrections import MovedLines
from billing.credits.watcher import CreditWatcher
from billing.references import BillingReferences
from billing.seats.refresher import SeatRefresher
from billing.simulations.runner import SimulationRunner
from deploy.adapters import BillingPricer, RegistryCustomers, RegistryLanes
from deploy.backup.command import export_route
from deploy.beside import Work, going_on
from deploy.clock import now
from deploy.key_use import flush_use
from deploy.log_choice import keeper_of, open_before, open_reader, open_writer
from deploy.metrics import Measured, Scrapers, metrics_route
from deploy.pages.invoices import open_invoices_of
from deploy.pages.routes import add_pages
from deploy.pages.services import PageServices
from deploy.parts import PartConfig
from deploy.sources import make_keeper, make_previews
from deploy.status import status_route
from deploy.store_choice import open_store
from deploy.tracing import batch_tracing, tracer_of
from deploy.version import VERSION
from ingest.consumer.consumer import Consumer
from ingest.consumer.dead_letters import StoreDeadLetters
from ingest.consumer.meter import CONSUMER_CELLS, ConsumerMeter
from ingest.consumer.progress import LogProgress, LogSilentError
from ingest.consumer.seams import ApplyTracing
from ingest.consumer.standstill import Standstill
from ingest.core_api import internal_routes, lag_route
from ingest.dead_letter_replay import Replayer
from ingest.dead_letter_routes import dead_letter_routes
from ingest.erasure.api import Erasures, erasure_routes
from ingest.erasure.runner import ErasureRunner, LogPlace
from ingest.event_routes import event_routes
from ingest.imports.api import Imports, import_routes
from ingest.imports.runner import ImportRunner
from ingest.imports.spool import Spool
from ingest.log.protocol import LogWriter
from ingest.log.server import bind_private
from ingest.log.spool.state import SpoolState
from ingest.prices.api import gateway_route, price_routes
from ingest.prices.pricing import EventPricing
from loaders.connections.api import connection_routes
from loaders.connections.keeping import ConnectionKeeper
from loaders.dataloaders.api import DataloaderServices, dataloader_routes
from loaders.dataloaders.preview import Previews
from metering.api import Services
from metering.http.app import Around, build_app
from metering.http.docs import with_docs
from metering.http.idempotency import Idempotency
from metering.http.rate_limits import Limiter, RateLimited
from metering.http.route import Route
from metering.metrics import Tallies
from metering.registry.answers import RegistryAnswers
from metering.registry.authenticator import KeyAuthenticator
from metering.registry.engine import Registry
from metering.store.chains import ChainStore
from metering.store.client import Store
from metering.store.explorer import Explorer
from metering.store.rollups.keeper import RollupKeeper
from metering.store.rollups.reader import RolledUpReader
from metering.store.usage import UsageReader
from metering.thresholds.checker import ThresholdChecker

DRAIN_S_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Core:
    """What the core's routes and pages stand on."""

    registry: Registry
    store: Store
    usage: UsageReader
    explorer: Explorer
    versions: ChainStore
    progress: LogProgress
    authenticator: KeyAuthenticator
    imports: Imports
    replayer: Replayer
    simulator: SimulationRunner
    connections: ConnectionKeeper
    previews: Previews
    limiter: Limiter | None = None
    standstill: Standstill = field(default_factory=Standstill)
    rollups: RollupKeeper | None = None


async def serve_core(config: PartConfig, stop: asyncio.Event) -> None:
    """Be the core: see `_serve`."""
    with tracer_of(config) as tracer:
        await _serve(config, stop, batch_tracing(tracer))


async def _serve(config: PartConfig, stop: asyncio.Event, tracing: ApplyTracing | None) -> None:
    """Apply the log and serve on the core's socket until told to stop; what is in the log by then is applied.

    Raises:
        DataTooNewError, SettingsError, LogMismatchError, LogCorruptError: it cannot run, and waiting will not help.
        LogUnavailableError: the log was not there in time; start again.
    """
    registry = Registry(config.registry_url)
    store = await asyncio.to_thread(open_store, config.store_url)
    log = await open_reader(config, before := await open_before(config))
    versions = ChainStore(store)
    lanes, customers = RegistryLanes(registry), RegistryCustomers(registry)
    writer = await open_writer(config)
    keeper = keeper_of(config, writer, log.log_id, before)
    hint = keeper.applied_hint if keeper is not None else None
    meter = ConsumerMeter(Tallies(Path(config.run_dir) / config.name, CONSUMER_CELLS))
    standstill = Standstill()
    consumer = Consumer(
        log,
        versions,
        lanes,
        customers,
        StoreDeadLetters(store),
        clock=now,
        applied_hint=hint,
        poison_stops=not config.accept_poison,
        told=meter.drained,
        tracing=tracing,
        standstill=standstill,
    )
    await consumer.start()
    meter.reads(len(await log.ends()))
    spooled = SpoolState(Path(config.spool_dir)) if config.spool_dir else None
    progress = LogProgress(log, versions, lanes, now, spooled)
    spool = Spool(config.imports_dir)
    importer = ImportRunner(registry, writer, spool, now)
    await importer.prepare()
    # The consumer's own version store: what it marks must not come to lie before a moment that was told about.
    core = make_core(
        config,
        registry=registry,
        store=store,
        versions=versions,
        progress=progress,
        writer=writer,
        imports=Imports(registry, spool, importer, now),
        standstill=standstill,
    )
    eraser = ErasureRunner(
        registry,
        store,
        versions,
        LogPlace(log, lanes, progress.wait_until_applied, keeper, config.archive_dir),
        now,
    )
    measured = Measured(store, versions, progress, spooled, standstill)
    app = build_core(core, _measured(config, measured), *_erasing(core, eraser))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=DRAIN_S_MAX, auto_decompress=False)
    await runner.setup()
    consuming = asyncio.create_task(consumer.run())
    beside = {"erasures": eraser.run, **({"log": keeper.run} if keeper else {}), **background(core)}
    try:
        async with going_on(beside):
            async with going_on({"imports": importer.run}):  # They end first, and go on with the next start.
                await web.SockSite(runner, bind_private(config.core_socket)).start()
                await _first_of(stop, consuming)
            if consuming.done():
                await consuming  # It ends only by an error that a person has to see.
            with suppress(LogSilentError):  # What it holds is applied at the next start, and so is what is spooled.
                if not progress.is_spooling:
                    await progress.wait_until_applied(DRAIN_S_MAX)
    finally:
        consuming.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(consuming, return_exceptions=True)
        await runner.cleanup()
        spool.close()
        await writer.close()
        await log.close()
        await asyncio.to_thread(store.close)
        registry.close()


def background(core: Core) -> dict[str, Work]:
    """Give what is done besides, wherever questions are answered."""
    checker = ThresholdChecker(core.registry, core.store, core.usage, core.versions.applied, now)
    seats = SeatRefresher(core.registry, core.store, core.versions.applied, now)
    works: dict[str, Work] = {
        "use of keys": partial(flush_use, core.authenticator),
        "thresholds": checker.run,
        "seats": seats.run,
        "credits": CreditWatcher(core.registry, core.store, core.versions.applied, now).run,
        "simulations": core.simulator.run,
    }
    return works if core.rollups is None else {**works, "rollups": core.rollups.run}


def _erasing(core: Core, eraser: ErasureRunner) -> Sequence[Route]:
    return erasure_routes(Erasures(core.registry, BillingReferences(), eraser.wake, now))


async def _first_of(stop: asyncio.Event, consuming: asyncio.Task[None]) -> None:
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({stopping, consuming}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()


def _measured(config: PartConfig, measured: Measured) -> Route:
    scrapers = Scrapers(config.metrics_public, config.metrics_token)
    return metrics_route(measured, Path(config.run_dir), config.places(), scrapers)


def make_core(
    config: PartConfig,
    *,
    registry: Registry,
    store: Store,
    versions: ChainStore,
    progress: LogProgress,
    writer: LogWriter,
    imports: Imports,
    standstill: Standstill | None = None,
    alone: bool = True,
) -> Core:
    """Put together what routes and pages stand on.

    `standstill`: of the consumer in this process, if there is one. `alone`: no other process works off what takes long.
    """
    rollups = RollupKeeper(store, versions.applied) if config.rollups else None
    connections = make_keeper(registry, Path(config.data_dir))
    return Core(
        registry=registry,
        store=store,
        usage=UsageReader(store) if rollups is None else RolledUpReader(store, rollups),
        explorer=Explorer(store),
        versions=versions,
        progress=progress,
        authenticator=KeyAuthenticator(registry, now),
        imports=imports,
        replayer=Replayer(StoreDeadLetters(store), writer, now),
        simulator=SimulationRunner(registry, store, now, alone=alone),
        connections=connections,
        previews=make_previews(connections),
        limiter=config.limiter(),
        standstill=standstill or Standstill(),
        rollups=rollups,
    )


def core_routes(core: Core, *more: Route) -> Sequence[Route]:
    """Give every route of the API, described; those that bring events or retract them are answered by gateways."""
    references, cutoffs = BillingReferences(), core.versions
    services = Services(
        registry=core.registry,
        store=core.store,
        usage=core.usage,
        explorer=core.explorer,
        cutoffs=cutoffs,
        clock=now,
        customer_use=references,
        aggregator_use=references,
        subscriptions=references,
        lines=MovedLines(core.registry, core.store),
        stands_still=lambda: core.standstill.reason is not None,
    )
    money = billing.api.Services(
        registry=core.registry,
        store=core.store,
        cutoffs=cutoffs,
        clock=now,
        progress=core.progress,
        simulations=core.simulator,
    )
    pricing = EventPricing(
        core.registry, core.store, cutoffs, core.progress, BillingPricer(core.registry, core.store), now
    )
    events = [*event_routes(), *price_routes(pricing), *import_routes(core.imports), lag_route(core.progress, now)]
    loading = DataloaderServices(core.registry, core.previews, now)
    pulled = [*connection_routes(core.connections), *dataloader_routes(loading)]
    public = [*metering.api.routes(services), *events, *pulled, *billing.api.routes(money), *more]
    internal = [
        *internal_routes(core.progress),
        gateway_route(pricing),
        *dead_letter_routes(core.replayer),
        status_route(core.store, core.progress, core.registry),
        export_route(core.store, core.progress),
    ]
    return [*with_docs(public, VERSION), *internal]


def build_core(core: Core, *more: Route) -> web.Application:
    """Give the application: the API and the pages."""
    around: list[Around] = [Idempotency(RegistryAnswers(core.registry, now))]
    if core.limiter is not None:
        around.insert(0, RateLimited(core.limiter))
    app = build_app(core_routes(core, *more), core.authenticator, around)
    pages = PageServices(
        registry=core.registry,
        store=core.store,
        cutoffs=core.versions,
        usage=core.usage,
        explorer=core.explorer,
        open_invoices=open_invoices_of(core.registry, core.store, now),
        lines=MovedLines(core.registry, core.store),
        imports=core.imports,
        lag=core.progress.lag,
        clock=now,
        simulations=core.simulator,
        connections=core.connections,
        dataloaders=DataloaderServices(core.registry, core.previews, now),
    )
    add_pages(app, pages)
    app.on_cleanup.append(partial(_close_threads, core))
    return app


async def _close_threads(core: Core, _app: web.Application) -> None:
    core.connections.pinger.close()
    core.previews.close()
