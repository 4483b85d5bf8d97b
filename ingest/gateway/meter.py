"""What a gateway worker counts: events taken and rejected, requests refused, and how long requests took."""

import time
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from ingest.event_routes import PRICE_EVENT, RETRACT, SEND_BATCH, SEND_BATCH_V2, SEND_EVENT, SEND_EVENT_V2
from metering.metrics import Durations, Metric, MetricKind, Tallies

ACCEPTED = Metric(
    "meterline_events_accepted_total",
    MetricKind.COUNTER,
    "Events that were answered 2xx: durable in the log or the spool, resent ones included.",
    "Flat while clients send: see meterline_requests_refused_total.",
)
REJECTED = Metric(
    "meterline_events_rejected_total",
    MetricKind.COUNTER,
    "Events that break a rule, by the code that the client was told.",
    "A client sends what it should not: its answers name the field, the value and the remedy.",
    "code",
)
REFUSED = Metric(
    "meterline_requests_refused_total",
    MetricKind.COUNTER,
    "Requests answered 4xx or 5xx, by status.",
    "429: raise METERLINE_RATE_INGEST, _READS or _WRITES. 503: the log or the core is down or slow, or is flooded.",
    "status",
)
DURATION = Metric(
    "meterline_request_duration_seconds",
    MetricKind.HISTOGRAM,
    "From a request's head to the end of its answer, by class of route.",
    "Events slow: look at the disk's fsync. Reads slow: ask for shorter ranges.",
    "class",
)
GATEWAY_METRICS = (ACCEPTED, REJECTED, REFUSED, DURATION)

CODES = (
    "control_character",
    "empty",
    "event_too_large",
    "invalid_timestamp",
    "invalid_type",
    "nested",
    "number_out_of_range",
    "required",
    "too_long",
    "too_many_properties",
    "other",
)
STATUSES = ("400", "401", "403", "404", "408", "409", "413", "415", "417", "422", "429", "500", "503", "other")
DURATIONS = Durations(
    DURATION,
    ("event", "batch", "retract", "price", "read", "write", "page"),
    (1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000, 30_000_000),
)
CELLS = (
    ACCEPTED.sample(),
    *(REJECTED.sample(code) for code in CODES),
    *(REFUSED.sample(status) for status in STATUSES),
    *DURATIONS.cells(),
)

_CODE = {code: CELLS.index(REJECTED.sample(code)) for code in CODES}
_STATUS = {status: CELLS.index(REFUSED.sample(status)) for status in STATUSES}
_FIRST_DURATION = len(CELLS) - len(DURATIONS.cells())
_OWN = {SEND_EVENT: 0, SEND_EVENT_V2: 0, SEND_BATCH: 1, SEND_BATCH_V2: 1, RETRACT: 2, PRICE_EVENT: 3}
_READ, _WRITE, _PAGE = 4, 5, 6

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Meter:
    """Counts into this worker's tallies."""

    def __init__(self, tallies: Tallies) -> None:
        """`tallies` has the `CELLS`."""
        self._cells = tallies.cells

    def accepted(self, events: int) -> None:
        """Count events that are durable."""
        self._cells[0] += events

    def rejected(self, codes: Iterable[str]) -> None:
        """Count events that break a rule."""
        for code in codes:
            self._cells[_CODE.get(code) or _CODE["other"]] += 1

    def measured(self, answer: Answer) -> Answer:
        """Give the same function, counting how long it takes and what it refuses."""

        async def measure(request: web.BaseRequest) -> web.StreamResponse:
            begun = time.perf_counter_ns()
            response = await answer(request)
            place, total = DURATIONS.cell_of(
                _FIRST_DURATION, _class_of(request), duration := (time.perf_counter_ns() - begun) // 1000
            )
            self._cells[place] += 1
            self._cells[total] += duration
            if response.status >= 400:
                self._cells[_STATUS.get(str(response.status)) or _STATUS["other"]] += 1
            return response

        return measure


def _class_of(request: web.BaseRequest) -> int:
    path = request.raw_path.partition("?")[0]
    own = _OWN.get((request.method, path))
    if own is not None:
        return own
    if not path.startswith(("/v1/", "/v2/")):
        return _PAGE
    return _READ if request.method in {"GET", "HEAD"} else _WRITE
