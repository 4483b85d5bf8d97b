"""Spans of a request and of the batch that applies it; over two processes: tests/pipeline/test_traces.py."""

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased

from ingest.gateway.core_client import CoreUrls
from ingest.gateway.proxy import pass_on
from ingest.tracing import BatchTracing, RequestTracing, api_tracing
from metering.http.app import answer_errors
from metering.http.problem import not_found
from tests.ingest.events import an_event

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def spans():
    return InMemorySpanExporter()


def tracer(spans, sampler=ALWAYS_ON):
    provider = TracerProvider(sampler=ParentBased(sampler), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return provider.get_tracer("test")


def told(spans):
    return {span.name: span for span in spans.get_finished_spans()}


async def test_a_request_and_its_append_belong_to_the_trace_of_the_client(start, spans):
    """The log carries the append's context."""
    gateway = await start(tracing=RequestTracing(tracer(spans)))
    status, _, _ = await gateway.send("/v1/events", an_event(), traceparent=f"00-{TRACE}-{PARENT}-01")
    assert status == 201
    request, append = told(spans)["POST /v1/events"], told(spans)["log append"]
    assert format(request.context.trace_id, "032x") == TRACE
    assert format(request.parent.span_id, "016x") == PARENT
    assert append.parent.span_id == request.context.span_id
    assert request.attributes["http.response.status_code"] == 201
    (section,) = gateway.sections()
    assert section.trace.hex() == f"{TRACE}{append.context.span_id:016x}01"


@pytest.mark.parametrize(
    ("sampler", "headers"),
    [(ALWAYS_ON, {"traceparent": f"00-{TRACE}-{PARENT}-00"}), (ALWAYS_OFF, {})],
    ids=["the client says no", "nobody asks"],
)
async def test_what_is_not_sampled_leaves_nothing_in_the_log(start, spans, sampler, headers):
    """Neither a span nor a byte."""
    gateway = await start(tracing=RequestTracing(tracer(spans, sampler)))
    assert (await gateway.send("/v1/events", an_event(), **headers))[0] == 201
    assert told(spans) == {}
    assert [section.trace for section in gateway.sections()] == [b""]


@pytest.mark.parametrize("header", ["", "x", f"00-{'0' * 32}-{PARENT}-01", f"ff-{TRACE}-{PARENT}-01"])
async def test_a_malformed_traceparent_begins_a_trace_of_its_own(start, spans, header):
    """As the standard says; the event is taken."""
    gateway = await start(tracing=RequestTracing(tracer(spans)))
    assert (await gateway.send("/v1/events", an_event(), traceparent=header))[0] == 201
    assert told(spans)["POST /v1/events"].parent is None


async def test_a_batch_is_told_to_each_request_in_it(spans):
    """A child of the first, linked to all; the others have a span of their own that leads there."""
    contexts = [bytes([number] * 24) + b"\x01" for number in (1, 2, 3)]
    tracing = BatchTracing(tracer(spans))

    async def write():
        await tracing.step("store write", nothing)
        return 7

    assert await tracing.applied(contexts, write) == 7
    batch = told(spans)["apply batch"]
    assert batch.context.trace_id.to_bytes(16) == contexts[0][:16]
    assert [link.context.span_id.to_bytes(8) for link in batch.links] == [each[16:24] for each in contexts]
    assert told(spans)["store write"].parent.span_id == batch.context.span_id
    others = [span for span in spans.get_finished_spans() if span.name == "applied in a batch"]
    assert [span.context.trace_id.to_bytes(16) for span in others] == [each[:16] for each in contexts[1:]]
    assert {link.context.span_id for span in others for link in span.links} == {batch.context.span_id}


async def nothing():
    pass


async def test_an_api_continues_the_gateways_trace(start, spans):
    """Named by its route, with what was answered in the end; a probe of its health is not told."""
    app = web.Application(middlewares=[api_tracing(tracer(spans), {"/healthz"}), answer_errors])
    app.router.add_get("/v1/things/{id}", nothing_there)
    app.router.add_get("/healthz", nothing_there)
    tracing = RequestTracing(tracer(spans))
    async with TestServer(app) as api, ClientSession() as session:
        urls = CoreUrls((str(api.make_url("")).rstrip("/"),), "")
        gateway = await start(tracing=tracing, pass_on=lambda one: pass_on(session, one, urls, tracing.onward()))
        sent = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        for path in ("/v1/things/7", "/healthz"):
            assert (await gateway.send(path, None, "GET", **sent))[0] == 404
    (answered,) = [span for span in spans.get_finished_spans() if span.name == "GET /v1/things/{id}"]
    passed = next(span for span in spans.get_finished_spans() if span.name == "GET")
    assert answered.parent.span_id == passed.context.span_id
    assert format(answered.context.trace_id, "032x") == TRACE
    assert answered.attributes["http.response.status_code"] == 404
    assert len(spans.get_finished_spans()) == 3


async def nothing_there(request):
    raise not_found(f"there is nothing at {request.path}")
