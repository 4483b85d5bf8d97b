"""Open the tracer of a process, and see that its last spans get out.

The OpenTelemetry SDK is loaded only where traces are exported. Credentials of the collector and its certificates
(`OTEL_EXPORTER_OTLP_HEADERS`, `..._CERTIFICATE`) are read by the exporter itself: a part's configuration stands on its
command line, where they must not be.
"""

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from deploy.parts import PartConfig
from deploy.version import VERSION

FLUSH_WAIT_S_MAX = 3.0
"""How long a process that ends waits for its last spans to be taken."""

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from ingest.tracing import BatchTracing, RequestTracing


@contextmanager
def tracer_of(config: PartConfig) -> Iterator["Tracer | None"]:
    """Give a tracer whose spans are exported in the background, None when traces are off. Flushes at the end."""
    if config.traces is None:
        yield None
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    traces = config.traces
    named = {"service.name": traces.service_name, "service.version": VERSION, "meterline.part": config.kind}
    provider = TracerProvider(sampler=traces.sampler(), resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(traces.endpoint)))
    try:
        yield provider.get_tracer("meterline", VERSION)
    finally:
        # A collector that does not answer must not hold up the end.
        flushing = threading.Thread(target=provider.shutdown, name="last-spans", daemon=True)
        flushing.start()
        flushing.join(FLUSH_WAIT_S_MAX)


def request_tracing(tracer: "Tracer | None") -> "RequestTracing | None":
    """Give what a gateway traces with."""
    if tracer is None:
        return None
    from ingest.tracing import RequestTracing

    return RequestTracing(tracer)


def trace_requests(tracer: "Tracer | None", app: web.Application, untraced: Collection[str]) -> None:
    """Have an API tell each request, but those to `untraced` paths, with what is answered in the end."""
    if tracer is not None:
        from ingest.tracing import api_tracing

        app.middlewares.insert(0, api_tracing(tracer, untraced))


def batch_tracing(tracer: "Tracer | None") -> "BatchTracing | None":
    """Give what a consumer traces with."""
    if tracer is None:
        return None
    from ingest.tracing import BatchTracing

    return BatchTracing(tracer)
