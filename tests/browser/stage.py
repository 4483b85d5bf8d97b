"""A served set of pages over real data: a registry in a file, the embedded store, and what a test puts into both."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestServer

from billing.corrections import MovedLines
from billing.invoices.model import Invoice, InvoiceStatus, LineItem
from billing.pricing import EntryType, RatedTier
from billing.simulations.runner import SimulationRunner
from deploy.pages.invoices import OpenInvoices, open_invoices_of
from deploy.pages.routes import add_pages
from deploy.pages.services import PageServices
from ingest.consumer.lag import Lag
from ingest.imports.api import Imports
from ingest.imports.runner import ImportRunner
from ingest.imports.spool import Spool
from ingest.log.memory import MemoryLog, MemoryLogWriter
from loaders.connections.keeping import ConnectionKeeper
from loaders.connections.pinging import Pinger
from loaders.connections.registry import Connections
from loaders.dataloaders.api import DataloaderServices
from loaders.dataloaders.preview import Previews
from loaders.dataloaders.registry import use_of_connection
from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.opening import open_source
from loaders.secrets.keys import GivenKeys, new_key
from metering.http.app import answer_errors
from metering.http.scope import Scope
from metering.position import last_of_message, pack
from metering.registry.accounts import create_account
from metering.registry.aggregators import create_aggregator
from metering.registry.customers import create_customer, ensure_customers
from metering.registry.engine import Registry
from metering.registry.keys import create_key
from metering.registry.migrate import migrate
from metering.store.chains import ChainStore
from metering.store.columns import event_columns, superseded_columns, versions_of
from metering.store.explorer import Explorer
from metering.store.usage import UsageReader
from metering.timestamps import microseconds
from metering.world import Mode, World
from tests.builders import a_version, loses

NOW = datetime(2026, 11, 21, 13, 49, 53, tzinfo=UTC)
LANE = 60


@dataclass
class Offsets:
    """The store outlives a test, so offsets go on growing."""

    last: int = 100


OFFSETS = Offsets()


@dataclass
class Stage:
    """What a test arranges before it opens a page. `invoices` None: ask billing."""

    registry: Registry
    store: Any
    world: World
    secret: str
    key_id: str
    address: str = ""
    now: datetime = NOW
    lag: Lag | Exception | None = None
    invoices: list[Invoice] | Exception | None = field(default_factory=list)
    invoices_left_out: int = 0
    standing: dict[tuple[str, str], Any] = field(default_factory=dict)

    async def send(self, *events: dict[str, Any]) -> None:
        """Store events as a consumer would have: of one key the latest timestamp is current."""
        versions, lost = [], []
        for event in events:
            OFFSETS.last += 1
            position = pack(LANE, OFFSETS.last, 0)
            record = dict(event["record"])
            record_id = record.pop("id")
            version = a_version(
                self.world,
                position,
                record_id=record_id,
                event_type=event.get("event_type", "api_call"),
                customer_id=event.get("customer_id", "acme"),
                timestamp_us=microseconds(event.get("timestamp", NOW - timedelta(hours=2))),
                properties=msgspec.json.encode(record, order="sorted"),
                received_at_us=microseconds(event.get("received_at", NOW - timedelta(minutes=5))),
            )
            versions.append(version)
            key = (version.key.event_type, record_id)
            best = self.standing.get(key)
            if best is not None and version.timestamp_us < best.timestamp_us:
                lost.append(loses(version, position))
                continue
            if best is not None:
                lost.append(loses(best, position))
            self.standing[key] = version
        await self._write(versions, lost)
        await self.registry.write(ensure_customers, self.world, {version.customer_id for version in versions}, NOW)

    async def delete(self, event_type: str, record_id: str) -> None:
        OFFSETS.last += 1
        await self._write([], [loses(self.standing.pop((event_type, record_id)), pack(LANE, OFFSETS.last, 0))])

    async def _write(self, versions, lost) -> None:
        if versions:
            await self.store.run_writing(self.store.insert, "events", event_columns(versions_of(versions)))
        if lost:
            await self.store.run_writing(self.store.insert, "superseded", superseded_columns(lost))
        await ChainStore(self.store).mark_applied({LANE: last_of_message(LANE, OFFSETS.last)}, NOW)

    async def customer(self, **fields: Any):
        return await self.registry.write(create_customer, self.world, fields, NOW)

    async def aggregator(self, **fields: Any):
        return await self.registry.write(create_aggregator, self.world, fields, NOW)

    async def key(self, *scopes: Scope, expires_at: datetime | None = None):
        """Give a key with its text."""

        def make(connection):
            return create_key(connection, self.world, scopes, NOW, expires_at=expires_at)

        return await self.registry.write(make)

    async def read_lag(self) -> Lag:
        if isinstance(self.lag, Exception):
            raise self.lag
        return self.lag or Lag(0, self.now, 0)

    async def read_invoices(self, world, cutoff, customer_ids):
        assert world == self.world
        if self.invoices is None:
            return await open_invoices_of(self.registry, self.store, lambda: self.now)(world, cutoff, customer_ids)
        if isinstance(self.invoices, Exception):
            raise self.invoices
        found = [invoice for invoice in self.invoices if invoice.customer_id in customer_ids]
        return OpenInvoices(found, len(found) + self.invoices_left_out)


@asynccontextmanager
async def staged(folder, store, mode: Mode = Mode.TEST, *, simulates: bool = True):
    """Serve the pages for an account of their own. `simulates`: simulations are worked off."""
    store.command("TRUNCATE TABLE applied")  # What other tests marked by today's clock: `NOW` is the newest moment.
    registry = Registry(f"sqlite:///{folder}/registry.db")
    migrate(registry)
    account = await registry.write(create_account, "Northwind", NOW)
    world = World(account.id, mode)
    key, secret = await registry.write(lambda connection: create_key(connection, world, [Scope.READ], NOW))
    stage = Stage(registry, store, world, secret, key.id)
    log = MemoryLog()
    spool = Spool(folder / "imports")
    importer = ImportRunner(registry, MemoryLogWriter(log), spool, lambda: stage.now)
    await importer.prepare()
    importing = asyncio.create_task(importer.run())
    simulator = SimulationRunner(registry, store, lambda: stage.now)
    simulating = asyncio.create_task(simulator.run()) if simulates else None
    opener = partial(open_source, policy=HostPolicy(), limits=SourceLimits())
    keys = GivenKeys([new_key()], "the test")
    keeper = ConnectionKeeper(registry, keys, Pinger(opener), lambda: stage.now, use_of_connection)
    previews = Previews(Connections(registry, keys), opener)
    services = PageServices(
        registry=registry,
        store=store,
        cutoffs=ChainStore(store),
        usage=UsageReader(store),
        explorer=Explorer(store),
        open_invoices=stage.read_invoices,
        lines=MovedLines(registry, store),
        imports=Imports(registry, spool, importer, lambda: stage.now),
        lag=stage.read_lag,
        clock=lambda: stage.now,
        simulations=simulator,
        connections=keeper,
        dataloaders=DataloaderServices(registry, previews, lambda: stage.now),
    )
    app = web.Application(middlewares=[answer_errors])
    add_pages(app, services)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    stage.address = f"http://127.0.0.1:{server.port}"
    try:
        yield stage
    finally:
        await server.close()
        keeper.pinger.close()
        previews.close()
        running = [task for task in (importing, simulating) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        registry.close()


def a_line(name: str, amount: int, units: str, *tiers: Any, **fields: Any) -> LineItem:
    """A line in EUR unless told otherwise."""
    values: dict[str, Any] = {"entry_type": EntryType.DEBIT, "currency": "EUR", **fields}
    return LineItem(name, "itm_1", units_count=Decimal(units), amount=amount, tiers=tiers, **values)


def an_invoice(customer_id: str, **fields: Any) -> Invoice:
    """An invoice of November with graduated tiers, a fee and a credit."""
    tiers = [
        RatedTier(Decimal(0), Decimal(10), Decimal(10), 50_000),
        RatedTier(Decimal(10), Decimal(50), Decimal(40), 160_000),
        RatedTier(Decimal(50), None, Decimal("13.5"), 27_000),
    ]
    values: dict[str, Any] = {
        "id": "inv_0mhx2k9f4h3k1v0c",
        "status": InvoiceStatus.OPEN,
        "customer_id": customer_id,
        "customer_external_id": None,
        "subscription_id": "sub_0mhx2k9f4h3k1v0c",
        "currency": "EUR",
        "period_start_us": microseconds(datetime(2026, 11, 1, tzinfo=UTC)),
        "period_end_us": microseconds(datetime(2026, 12, 1, tzinfo=UTC)),
        "lines": [
            a_line("API calls", 237_000, "63.5", *tiers),
            a_line("Platform fee", 20_000, "1"),
            a_line("Returned seats", 1_250, "2", entry_type=EntryType.CREDIT),
        ],
        **fields,
    }
    return Invoice(**values)
