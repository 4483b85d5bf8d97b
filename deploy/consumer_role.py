"""`meterline consumer`: brings events from Kafka into the store; Kafka's group shares the partitions out.

Where it reads on stands in the store, so one that is killed costs a replay and nothing else. While the store, the
registry or the log is away it waits, and goes on where it was.
"""

import asyncio
from contextlib import AsyncExitStack, suppress

from aiohttp import web

from deploy.adapters import RegistryCustomers, RegistryLanes
from deploy.clock import now
from deploy.log_choice import consumer_group, open_reader
from deploy.metrics import UP, consumer_samples, metrics_response, up_sample
from deploy.roles import Role
from deploy.store_choice import store_answers
from deploy.tracing import batch_tracing, tracer_of
from ingest.consumer.consumer import Consumer
from ingest.consumer.dead_letters import StoreDeadLetters
from ingest.consumer.meter import CONSUMER_CELLS, CONSUMER_METRICS, ConsumerMeter
from ingest.consumer.sharing import run_shared
from ingest.consumer.standstill import Standstill
from metering.metrics import Tallies
from metering.store.chains import ChainStore


async def serve_consumer(role: Role, stop: asyncio.Event) -> None:
    """Consume this process's share until told to stop; what is half written then is written again by who follows.

    Raises:
        DataTooNewError, SettingsError, StoreRefusedError, LogMismatchError, LogCorruptError: waiting will not help.
    """
    async with AsyncExitStack() as stack:
        meter = ConsumerMeter(stack.enter_context(Tallies(role.run_dir / role.name, CONSUMER_CELLS)))
        standstill = Standstill()

        async def metrics() -> web.StreamResponse:
            samples = {**consumer_samples(role.run_dir), **up_sample("consumer", up=standstill.reason is None)}
            return metrics_response((*CONSUMER_METRICS, UP), samples)

        await stack.enter_async_context(role.answering(metrics))
        registry = await role.open_registry(stack, stop)
        store = await role.there("the store", role.open_store, stop)
        stack.push_async_callback(asyncio.to_thread, store.close)
        log = await role.there("the log", lambda: open_reader(role.config), stop)
        stack.push_async_callback(log.close)
        group = await role.there("the log", lambda: consumer_group(role.config), stop)
        stack.push_async_callback(group.close)
        tracing = batch_tracing(stack.enter_context(tracer_of(role.config)))
        versions, lanes, customers = ChainStore(store), RegistryLanes(registry), RegistryCustomers(registry)
        letters = StoreDeadLetters(store)

        def make(owned: frozenset[int]) -> Consumer:
            meter.reads(len(owned))
            standstill.end()  # What it stood in front of may be another's now.
            return Consumer(
                log,
                versions,
                lanes,
                customers,
                letters,
                clock=now,
                applied_hint=group.applied,
                only=owned,
                told=meter.drained,
                tracing=tracing,
                poison_stops=not role.config.accept_poison,
                standstill=standstill,
            )

        role.health.checks = {
            "the registry": role.registry_answers(registry),
            "the store": store_answers(store),
            "the log": log.ends,
            "a person (it stands still, read what it says)": standstill.check,
        }
        role.health.started = True
        consuming = asyncio.create_task(run_shared(group, make))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({consuming, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if consuming.done():
                consuming.result()  # It ends only by an error that a person has to see.
        finally:
            stopping.cancel()
            consuming.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(stopping, consuming, return_exceptions=True)
