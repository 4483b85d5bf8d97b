"""One trace from a client's request to its stored row, told by two processes to a real OTLP receiver."""

import asyncio
import json

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.peers.clickhouse.process import ClickHouse
from tests.pipeline.apart import Apart
from tests.pipeline.product import Client, Product

pytestmark = pytest.mark.slow

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
WAIT_S_MAX = 120


class Receiver:
    """An OTLP/HTTP receiver: `spans` are (part, span), by name."""

    def __init__(self):
        self.spans = {}

    async def __aenter__(self):
        app = web.Application()
        app.router.add_post("/v1/traces", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        await self._runner.cleanup()

    async def _take(self, request):
        for of_resource in ExportTraceServiceRequest.FromString(await request.read()).resource_spans:
            attributes = {pair.key: pair.value.string_value for pair in of_resource.resource.attributes}
            assert attributes["service.name"] == "usage"
            for of_scope in of_resource.scope_spans:
                for span in of_scope.spans:
                    self.spans.setdefault(span.name, []).append((attributes["meterline.part"], span))
        return web.Response(content_type="application/x-protobuf")

    async def until(self, name):
        async with asyncio.timeout(WAIT_S_MAX):
            while name not in self.spans:
                await asyncio.sleep(0.05)


def an_event(number):
    record = {"id": number, "amount": 1}
    return {"customer_id": "acme", "timestamp": "2024-01-15T10:00:00Z", "event_type": "call", "record": record}


async def send(product, number, traceparent):
    headers = {"Authorization": f"Bearer {product.key}", "Content-Type": "application/json", "traceparent": traceparent}
    body = json.dumps(an_event(number))
    url = product.url + "/v1/events"
    async with aiohttp.ClientSession(headers=headers) as session, session.post(url, data=body) as answer:
        assert answer.status == 201


async def test_a_trace_leads_from_the_request_to_the_stored_row(tmp_path):
    """Request and append from the gateway, batch, write and mark from the core: one trace, each under the last.
    A request that is not sampled is in none."""
    async with Receiver() as receiver:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_SERVICE_NAME": "usage",
            "OTEL_TRACES_SAMPLER": "parentbased_always_off",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        product = Product(tmp_path / "data", gateways=1, environment=environment)
        await asyncio.to_thread(product.start)
        try:
            await send(product, 1, f"00-{'1' * 32}-{PARENT}-00")
            await send(product, 2, f"00-{TRACE}-{PARENT}-01")
            async with Client(product) as client:
                await client.until_applied()
                assert (await client.get("/v1/events"))["meta"]["total"] == 2
            await receiver.until("apply batch")
            await receiver.until("POST /v1/events")
        finally:
            await asyncio.to_thread(product.stop)
    chain = ["POST /v1/events", "log append", "apply batch"]
    parts = ["gateway", "gateway", "core"]
    above = PARENT
    for name, part in zip(chain, parts, strict=True):
        ((told_by, span),) = receiver.spans[name]
        assert (told_by, span.trace_id.hex(), span.parent_span_id.hex()) == (part, TRACE, above), name
        above = span.span_id.hex()
    for name in ("store write", "mark applied"):
        ((told_by, span),) = receiver.spans[name]
        assert (told_by, span.parent_span_id.hex()) == ("core", above)


async def test_parts_apart_continue_one_trace(tmp_path, kafka):
    """What an API answers is told below the gateway that passed it on, with what was answered; so is what
    a consumer did. Probes of health are not told."""
    async with Receiver() as receiver:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_SERVICE_NAME": "usage",
            "OTEL_TRACES_SAMPLER": "parentbased_always_off",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        roles = {"gateways": 1, "consumers": 1, "apis": 1, "environment": environment}
        with ClickHouse() as store:
            apart = Apart(tmp_path, kafka, store.url, **roles)
            try:
                await asyncio.to_thread(apart.__enter__)
                gateway = apart.gateways[0]
                await send(gateway, 1, f"00-{TRACE}-{PARENT}-01")
                sampled = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
                async with Client(gateway) as client:
                    await client.until_applied()
                    await client.call("GET", "/v1/customers/nobody", expect=(404,), headers=sampled)
                for name in ("apply batch", "POST /v1/events", "GET", "GET /v1/customers/{id}"):
                    await receiver.until(name)
            finally:
                await asyncio.to_thread(apart.__exit__)
    above = PARENT
    for name, part in (("GET", "gateway"), ("GET /v1/customers/{id}", "api")):
        ((told_by, span),) = receiver.spans[name]
        assert (told_by, span.trace_id.hex(), span.parent_span_id.hex()) == (part, TRACE, above), name
        assert [pair.value.int_value for pair in span.attributes if pair.key == "http.response.status_code"] == [404]
        above = span.span_id.hex()
    ((told_by, _),) = receiver.spans["apply batch"]
    assert told_by == "consumer"
    assert not [name for name in receiver.spans if "health" in name]
