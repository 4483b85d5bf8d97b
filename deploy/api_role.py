"""`meterline api`: what is answered from the store and the registry, API and pages; asked by gateways alone.

Any number may run: sessions of the pages, answers to repeated writes and import jobs stand in the registry. What each
keeps for itself: how often an address tried wrong keys, how many requests of a key it let in, uploads under way.
"""

import asyncio
from contextlib import AsyncExitStack

from aiohttp import web

from deploy.adapters import RegistryLanes
from deploy.beside import going_on
from deploy.clock import now
from deploy.core_part import DRAIN_S_MAX, background, build_core, make_core
from deploy.health import PATHS
from deploy.log_choice import open_reader, open_writer
from deploy.metrics import API_METRICS, Measured, applied_samples, metrics_response
from deploy.roles import Role
from deploy.store_choice import store_answers
from deploy.tracing import trace_requests, tracer_of
from ingest.consumer.progress import LogProgress
from ingest.core_api import Serve, gateways_only
from ingest.imports.api import Imports
from ingest.imports.runner import LOST_AFTER, ImportRunner
from ingest.imports.spool import Spool
from metering.store.chains import ChainStore


async def serve_api(role: Role, stop: asyncio.Event) -> None:
    """Serve until told to stop; requests under way are finished, imports go on with the next start.

    Raises:
        DataTooNewError, SettingsError, StoreRefusedError, LogMismatchError: waiting will not help.
    """
    async with AsyncExitStack() as stack:
        async with role.answering(None):
            registry = await role.open_registry(stack, stop)
            store = await role.there("the store", role.open_store, stop)
            stack.push_async_callback(asyncio.to_thread, store.close)
            log = await role.there("the log", lambda: open_reader(role.config), stop)
            stack.push_async_callback(log.close)
            writer = await open_writer(role.config)
            stack.push_async_callback(writer.close)
            spool = Spool(role.settings.imports_dir)
            stack.callback(spool.close)
            importer = ImportRunner(registry, writer, spool, now, lost_after=LOST_AFTER)
            await role.there("the registry", importer.prepare, stop)
        versions = ChainStore(store)
        progress = LogProgress(log, versions, RegistryLanes(registry), now)
        core = make_core(
            role.config,
            registry=registry,
            store=store,
            versions=versions,
            progress=progress,
            writer=writer,
            imports=Imports(registry, spool, importer, now),
            alone=False,
        )
        role.health.checks = {
            "the registry": role.registry_answers(registry),
            "the store": store_answers(store),
            "the log": log.ends,
        }
        role.health.started = True
        app = _app(role, build_core(core), Measured(store, versions, progress))
        trace_requests(stack.enter_context(tracer_of(role.config)), app, {*PATHS, "/metrics"})
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=DRAIN_S_MAX, auto_decompress=False)
        await runner.setup()
        try:
            async with going_on({"imports": importer.run, **background(core)}):
                await web.SockSite(runner, role.own_listener()).start()
                await stop.wait()
        finally:
            await runner.cleanup()


def _app(role: Role, app: web.Application, measured: Measured) -> web.Application:
    """Let gateways in, and everybody to what tells how this process is."""

    async def metrics() -> web.StreamResponse:
        return metrics_response(API_METRICS, await applied_samples(measured))

    @web.middleware
    async def of_this_process(request: web.Request, handler: Serve) -> web.StreamResponse:
        if request.path in PATHS:
            return await role.health.answer(request)
        if request.path == "/metrics":
            return await role.scraped(metrics, request)
        return await guard(request, handler)

    guard = gateways_only(role.settings.internal_secret)
    app.middlewares.insert(1, of_this_process)  # Within the one that turns refusals into answers.
    return app
