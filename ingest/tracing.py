"""Traces from a request to its stored rows, in the terms of OpenTelemetry.

    POST /v1/events            gateway, SERVER; a child of the client's span if it sent `traceparent`
      log append               gateway, PRODUCER; until the bytes are on disk. Its context travels in the log.
        apply batch            consumer, CONSUMER; linked to all requests that have events in the batch
          store write
          mark applied         from here on the events are in the figures

    GET /v1/customers/{id}     gateway, SERVER; what it passes on continues in
      GET /v1/customers/{id}   api, SERVER (where parts run apart)

A batch holds events of many requests, and a span has one parent: that of the first request. Each of the others gets a
span `applied in a batch` of the same length in its own trace, linked to the batch. What is sampled is decided once, by
the client or at the gateway; of other requests nothing is put into the log, so the consumer has nothing to do for them.
"""

import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from typing import TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ingest.event_routes import RETRACT, SEND_BATCH, SEND_BATCH_V2, SEND_EVENT, SEND_EVENT_V2
from ingest.log.protocol import Receipt
from ingest.wire import Section

T = TypeVar("T")
Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_ROUTES = frozenset({SEND_EVENT, SEND_EVENT_V2, SEND_BATCH, SEND_BATCH_V2, RETRACT})
_propagator = TraceContextTextMapPropagator()


class RequestTracing:
    """`ingest.gateway.process.GatewayTracing`."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def traced(self, answer: Answer) -> Answer:
        """Give the same function, each call of it told as a span."""

        async def trace(request: web.BaseRequest) -> web.StreamResponse:
            path = request.raw_path.partition("?")[0]
            route = f" {path}" if (request.method, path) in _ROUTES else ""
            return await _served(self._tracer, request.method + route, request, answer)

        return trace

    def onward(self) -> dict[str, str]:
        """Give the headers by which the core continues the trace of the request that is being answered."""
        headers: dict[str, str] = {}
        _propagator.inject(headers)
        return headers

    async def appended(self, section: Section, append: Callable[[Section], Awaitable[Receipt]]) -> Receipt:
        """Append a section, with the trace's context in it if this request is traced."""
        if not get_current_span().get_span_context().trace_flags.sampled:
            return await append(section)
        attributes = {"meterline.events": section.events, "meterline.bytes": len(section.body)}
        with self._tracer.start_as_current_span("log append", kind=SpanKind.PRODUCER, attributes=attributes) as span:
            return await append(replace(section, trace=_carried(span.get_span_context())))


def api_tracing(tracer: Tracer, untraced: Collection[str]) -> Middleware:
    """Make the middleware that tells each request to an API as a span, but those to `untraced` paths."""

    @web.middleware
    async def trace(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in untraced:
            return await handler(request)
        resource = request.match_info.route.resource
        route = "" if resource is None else f" {resource.canonical}"
        return await _served(tracer, request.method + route, request, lambda _: handler(request))

    return trace


async def _served(tracer: Tracer, name: str, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    attributes = {"http.request.method": request.method, "url.path": request.raw_path.partition("?")[0]}
    with tracer.start_as_current_span(name, _sent_context(request), SpanKind.SERVER, attributes) as span:
        response = await answer(request)
        span.set_attribute("http.response.status_code", response.status)
        if response.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        return response


class BatchTracing:
    """`ingest.consumer.seams.ApplyTracing`."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    async def applied(self, traces: Sequence[bytes], work: Callable[[], Awaitable[T]]) -> T:
        """Apply a batch that holds events of these traces."""
        requests = [_context_of(trace) for trace in traces]
        begun = time.time_ns()
        with self._tracer.start_as_current_span(
            "apply batch", _under(requests[0]), SpanKind.CONSUMER, links=[Link(request) for request in requests]
        ) as batch:
            done = await work()
        link = Link(batch.get_span_context())
        for request in requests[1:]:
            self._tracer.start_span(
                "applied in a batch", _under(request), SpanKind.CONSUMER, links=[link], start_time=begun
            ).end()
        return done

    async def step(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Take one step of the batch that is being applied."""
        with self._tracer.start_as_current_span(name):
            await work()


def _sent_context(request: web.BaseRequest) -> Context:
    """Read `traceparent` and `tracestate` (W3C Trace Context); what is malformed is as good as absent."""
    headers = request.headers
    if "traceparent" not in headers:
        return Context()
    sent = {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}
    return _propagator.extract(sent, Context())


def _carried(context: SpanContext) -> bytes:
    """Give the bytes of `ingest.wire`."""
    return context.trace_id.to_bytes(16) + context.span_id.to_bytes(8) + bytes([context.trace_flags])


def _context_of(carried: bytes) -> SpanContext:
    trace_id, span_id = int.from_bytes(carried[:16]), int.from_bytes(carried[16:24])
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(carried[24]))


def _under(parent: SpanContext) -> Context:
    return set_span_in_context(NonRecordingSpan(parent), Context())
