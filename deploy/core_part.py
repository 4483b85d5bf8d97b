"""The core process: the consumer that applies the log to the store, and everything that is answered from there.

chDB allows one engine a process and one process a path, so what writes the store and what reads it live together.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

import billing.api
import metering.api
from billing.references import BillingReferences
from deploy.adapters import RegistryCustomers, RegistryLanes, now
from deploy.gateway_part import flush_use
from deploy.log_choice import open_reader, open_writer
from deploy.metrics import Measured, metrics_route
from deploy.pages.invoices import open_invoices_of
from deploy.pages.routes import add_pages
from deploy.pages.services import PageServices
from deploy.parts import PartConfig
from deploy.tracing import batch_tracing, tracer_of
from deploy.version import VERSION
from ingest.consumer.consumer import Consumer
from ingest.consumer.dead_letters import StoreDeadLetters
from ingest.consumer.progress import LogProgress, LogSilentError
from ingest.consumer.seams import ApplyTracing
from ingest.core_api import internal_routes, lag_route
from ingest.dead_letter_replay import Replayer
from ingest.dead_letter_routes import dead_letter_routes
from ingest.event_routes import event_routes
from ingest.imports.api import Imports, import_routes
from ingest.imports.runner import ImportRunner
from ingest.imports.spool import Spool
from metering.api import Services
from metering.http.app import Around, build_app
from metering.http.docs import with_docs
from metering.http.idempotency import Idempotency
from metering.http.rate_limits import Limiter, RateLimited
from metering.http.route import Route
from metering.registry.answers import RegistryAnswers
from metering.registry.authenticator import KeyAuthenticator
from metering.registry.engine import Registry
from metering.store.chains import ChainStore
from metering.store.client import Store
from metering.store.explorer import Explorer
from metering.store.migrations import assert_tables, migrate
from metering.store.usage import UsageReader

DRAIN_S_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Core:
    """What the core's routes and pages stand on."""

    registry: Registry
    store: Store
    versions: ChainStore
    progress: LogProgress
    authenticator: KeyAuthenticator
    imports: Imports
    replayer: Replayer
    limiter: Limiter | None = None


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
    store = await asyncio.to_thread(_open_store, config.store_url)
    log = await open_reader(config)
    versions = ChainStore(store)
    lanes, customers = RegistryLanes(registry), RegistryCustomers(registry)
    letters = StoreDeadLetters(store)
    consumer = Consumer(log, versions, lanes, customers, letters, clock=now, tracing=tracing)
    await consumer.start()
    progress = LogProgress(log, versions, lanes, now)
    writer = await open_writer(config)
    spool = Spool(config.imports_dir)
    importer = ImportRunner(registry, writer, spool, now)
    await importer.prepare()
    imports = Imports(registry, spool, importer, now)
    authenticator = KeyAuthenticator(registry, now)
    replayer = Replayer(letters, writer, now)
    core = Core(registry, store, versions, progress, authenticator, imports, replayer, config.limiter())
    measured = metrics_route(
        Measured(store, versions, progress), Path(config.run_dir), config.log_dir, public=config.metrics_public
    )
    runner = web.AppRunner(_app(core, measured), access_log=None, shutdown_timeout=DRAIN_S_MAX, auto_decompress=False)
    await runner.setup()
    consuming = asyncio.create_task(consumer.run())
    importing = asyncio.create_task(importer.run())
    flushing = asyncio.create_task(flush_use(core.authenticator))
    try:
        config.core_socket.unlink(missing_ok=True)
        await web.UnixSite(runner, str(config.core_socket)).start()
        config.core_socket.chmod(0o600)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({stopping, consuming}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        importing.cancel()  # It goes on with the next start.
        if consuming.done():
            await consuming  # It ends only by an error that a person has to see.
        with suppress(LogSilentError):  # What it holds is applied at the next start.
            await progress.wait_until_applied(DRAIN_S_MAX)
    finally:
        for task in (flushing, consuming, importing):
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(flushing, consuming, importing, return_exceptions=True)
        await runner.cleanup()
        await writer.close()
        await log.close()
        await asyncio.to_thread(store.close)
        registry.close()


def core_routes(core: Core, *more: Route) -> Sequence[Route]:
    """Give every route of the API, described; those that bring events or retract them are answered by gateways."""
    references, cutoffs = BillingReferences(), core.versions
    services = Services(
        registry=core.registry,
        store=core.store,
        usage=UsageReader(core.store),
        explorer=Explorer(core.store),
        cutoffs=cutoffs,
        clock=now,
        customer_use=references,
        aggregator_use=references,
        subscriptions=references,
    )
    money = billing.api.Services(registry=core.registry, store=core.store, cutoffs=cutoffs, clock=now)
    events = [*event_routes(), *import_routes(core.imports), lag_route(core.progress)]
    public = [*metering.api.routes(services), *events, *billing.api.routes(money), *more]
    internal = [*internal_routes(core.progress), *dead_letter_routes(core.replayer)]
    return [*with_docs(public, VERSION), *internal]


def _app(core: Core, *more: Route) -> web.Application:
    around: list[Around] = [Idempotency(RegistryAnswers(core.registry, now))]
    if core.limiter is not None:
        around.insert(0, RateLimited(core.limiter))
    app = build_app(core_routes(core, *more), core.authenticator, around)
    pages = PageServices(
        registry=core.registry,
        store=core.store,
        cutoffs=core.versions,
        usage=UsageReader(core.store),
        explorer=Explorer(core.store),
        open_invoices=open_invoices_of(core.registry, core.store, now),
        imports=core.imports,
        lag=core.progress.lag,
        clock=now,
    )
    add_pages(app, pages)
    return app


def _open_store(url: str) -> Store:
    store = Store.open(url)
    migrate(store)
    assert_tables(store)
    return store
