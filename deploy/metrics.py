"""`GET /metrics`: what is measured, for Prometheus: of all processes by the all-in-one, of itself by each role.

Only from this machine or with `METERLINE_METRICS_TOKEN`, unless `METERLINE_METRICS_PUBLIC=1`: the figures are of all
accounts together. The gateway tells who asks (it replaces what a client claims), so behind a proxy on this machine
everybody asks from here: such a proxy must keep the path to itself.
"""

import asyncio
import hmac
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any

from aiohttp import web

from deploy.disk_use import disk_use
from ingest.consumer.meter import CONSUMER_CELLS, CONSUMER_METRICS
from ingest.consumer.progress import LogProgress
from ingest.consumer.standstill import Standstill
from ingest.errors import IngestError, LogUnavailableError
from ingest.gateway.meter import CELLS, DURATIONS, GATEWAY_METRICS
from ingest.log.clock import now_us
from ingest.log.spool.state import SpoolState
from loaders.running.meter import LOADER_CELLS, LOADER_METRICS
from metering.errors import MeteringError, StoreUnavailableError
from metering.http.problem import forbidden
from metering.http.route import Call, Route
from metering.http.shapes import TEXT
from metering.metrics import CONTENT_TYPE, Metric, MetricKind, read_tallies, render
from metering.position import offset_of
from metering.store.chains import ChainStore
from metering.store.client import Store

LAG_EVENTS = Metric(
    "meterline_lag_events",
    MetricKind.GAUGE,
    "Events that were accepted and are not in the figures yet.",
    "Growing for minutes: the core is down or too slow for what comes in; nothing is lost. Give it a faster disk.",
)
LAG_AGE = Metric(
    "meterline_lag_oldest_age_ms",
    MetricKind.GAUGE,
    "Milliseconds since the oldest event that is not in the figures was accepted.",
    "Over a minute while meterline_applied_offset stands still: read what the core process says.",
)
APPLIED = Metric(
    "meterline_applied_offset",
    MetricKind.GAUGE,
    "Offset of the last message of the log that is in the figures, by lane.",
    "Standing still while events are accepted: read what the core process says.",
    "lane",
)
LOG_BYTES = Metric(
    "meterline_log_bytes",
    MetricKind.GAUGE,
    "Bytes of the log on disk.",
    "Near the size of the disk: make room, for events are refused when it is full.",
)
DISK_BYTES = Metric(
    "meterline_disk_bytes",
    MetricKind.GAUGE,
    "Bytes on disk, by part: the log, its archive, the store, the registry, files that wait to be imported.",
    "The archive growing past what you keep: move its oldest files elsewhere, and know that a rebuild needs them.",
    "part",
)
ROWS = Metric(
    "meterline_store_rows",
    MetricKind.GAUGE,
    "Rows in the store, by table.",
    "Growing faster than what is accepted: clients correct events very often.",
    "table",
)
PARTS = Metric(
    "meterline_store_parts",
    MetricKind.GAUGE,
    "Active parts in the store, by table.",
    "Thousands: merges do not keep up, give the core a faster disk or more processors.",
    "table",
)
RESTARTS = Metric(
    "meterline_part_restarts_total",
    MetricKind.COUNTER,
    "Times that a process ended by itself and was started again, by kind.",
    "More than now and then: read what that process said before it ended; look for a lack of memory.",
    "part",
)
SPOOL_EVENTS = Metric(
    "meterline_spool_events",
    MetricKind.GAUGE,
    "Events that wait in the spool (METERLINE_SPOOL_DIR), accepted and not in the log yet.",
    "Over 0: the log does not take events; read what the spool process says, and mend the log.",
)
SPOOL_BYTES = Metric(
    "meterline_spool_bytes",
    MetricKind.GAUGE,
    "Bytes that wait in the spool.",
    "Near METERLINE_SPOOL_BYTES_MAX: events are refused when it is full.",
)
SPOOL_AGE = Metric(
    "meterline_spool_oldest_age_ms",
    MetricKind.GAUGE,
    "Milliseconds since the oldest event in the spool came there, 0 when it is empty.",
    "Growing: the log does not take events; read what the spool process says, and mend the log.",
)
UP = Metric(
    "meterline_up",
    MetricKind.GAUGE,
    "1 where a part does its work and told it in time for this scrape, 0 where not; what only it knows is then absent.",
    "0 for minutes: that part is away, stalled, or stands still; read what the process says, and GET /readyz.",
    "part",
)
API_METRICS = (UP, LAG_EVENTS, LAG_AGE, APPLIED, ROWS, PARTS)
SPOOL_METRICS = (SPOOL_EVENTS, SPOOL_BYTES, SPOOL_AGE)
METRICS = (
    *GATEWAY_METRICS,
    *CONSUMER_METRICS,
    *API_METRICS,
    LOG_BYTES,
    DISK_BYTES,
    *SPOOL_METRICS,
    *LOADER_METRICS,
    RESTARTS,
)

KINDS = ("log", "spool", "core", "gateway", "loaders")
RESTART_CELLS = tuple(RESTARTS.sample(kind) for kind in KINDS)

ANSWER_S_MAX = 5.0
"""So long a scrape waits for the log and the store, and no longer: Prometheus gives up after 10 s."""

_TABLES = """
SELECT table, sum(rows), count()
FROM system.parts
WHERE active AND database = currentDatabase()
GROUP BY table
ORDER BY table
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the core can tell of itself."""

    store: Store
    versions: ChainStore
    progress: LogProgress
    spool: SpoolState | None = None
    standstill: Standstill | None = None
    """Of the consumer in this process, where there is one."""


@dataclass(frozen=True, slots=True)
class Scrapers:
    """Who may ask for metrics: this machine, whoever shows the token, or everybody."""

    public: bool = False
    token: str = field(default="", repr=False)

    def check(self, request: web.BaseRequest, address: str | None) -> None:
        """Let a request from an address pass; None is this machine.

        Raises:
            ApiError: 403.
        """
        shown = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if self.token and hmac.compare_digest(shown, f"Bearer {self.token}".encode()):
            return
        if not self.public and not _from_here(address):
            raise forbidden(
                "metrics are told on this machine alone: set METERLINE_METRICS_PUBLIC=1 to tell everybody, or "
                "METERLINE_METRICS_TOKEN and send it as `Authorization: Bearer`"
            )


def metrics_route(core: Measured, run_dir: Path, places: Mapping[str, Path], scrapers: Scrapers) -> Route:
    """Give the route of the all-in-one; `run_dir` is where all processes count, `places` what lies where."""

    async def metrics(call: Call) -> web.Response:
        scrapers.check(call.request, call.request.headers.get("X-Forwarded-For"))
        samples = {**gateway_samples(run_dir), **consumer_samples(run_dir), **loader_samples(run_dir)}
        samples |= _restarts(run_dir)
        used = await asyncio.to_thread(disk_use, places)
        samples[LOG_BYTES.sample()] = str(used["log"])
        samples |= {DISK_BYTES.sample(part): str(used[part]) for part in used}
        if core.spool is not None:
            samples |= await spool_samples(core.spool)
        return metrics_response(METRICS, samples | await applied_samples(core))

    summary = "What is measured, for Prometheus"
    failures = (400, 403, 503)
    return Route(
        "GET", "/metrics", None, metrics, summary, "Health", answer=TEXT, answer_type="text/plain", failures=failures
    )


def metrics_response(metrics: Sequence[Metric], samples: Mapping[str, str]) -> web.Response:
    """Answer in Prometheus' text format."""
    return web.Response(body=render(metrics, samples).encode(), headers={"Content-Type": CONTENT_TYPE})


def gateway_samples(run_dir: Path) -> dict[str, str]:
    """Give what gateways count in this folder."""
    counts: Mapping[str, int] = read_tallies(run_dir, CELLS)
    plain = {cell: str(counts[cell]) for cell in CELLS if not cell.startswith(DURATIONS.metric.name)}
    return {**plain, **DURATIONS.samples(counts)}


def consumer_samples(run_dir: Path) -> dict[str, str]:
    """Give what consumers count in this folder."""
    counts = read_tallies(run_dir, CONSUMER_CELLS)
    return {cell: str(counts[cell]) for cell in CONSUMER_CELLS}


def loader_samples(run_dir: Path) -> dict[str, str]:
    """Give what processes that run dataloaders count in this folder."""
    counts = read_tallies(run_dir, LOADER_CELLS)
    return {cell: str(counts[cell]) for cell in LOADER_CELLS}


async def applied_samples(core: Measured) -> dict[str, str]:
    """Give the lag, and what the store can tell; while it does not answer, only the lag, which then is at most this.

    What nobody can tell, or not soon, is absent, and `UP` says so: the rest is needed then above all.
    """
    lag, applied = await asyncio.gather(_in_time(_lag_samples(core)), _in_time(_store_samples(core)))
    told = {**up_sample("log", up=lag is not None), **up_sample("store", up=applied is not None)}
    if core.standstill is not None:
        told |= up_sample("consumer", up=core.standstill.reason is None)
    return {**told, **(lag or {}), **(applied or {})}


def up_sample(part: str, *, up: bool) -> dict[str, str]:
    """Say whether a part is up."""
    return {UP.sample(part): str(int(up))}


async def _in_time(asked: Coroutine[Any, Any, dict[str, str]]) -> dict[str, str] | None:
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            return await asked
    except (MeteringError, IngestError, TimeoutError):
        return None


async def _lag_samples(core: Measured) -> dict[str, str]:
    try:
        lag = await core.progress.lag()
    except StoreUnavailableError:
        return {}  # The log is there; what of it is applied was never told.
    return {LAG_EVENTS.sample(): str(lag.lag_events), LAG_AGE.sample(): str(lag.oldest_unapplied_age_ms)}


async def _store_samples(core: Measured) -> dict[str, str]:
    bounds = (await core.versions.applied()).bounds
    samples = {APPLIED.sample(str(lane)): str(offset_of(position)) for lane, position in sorted(bounds.items())}
    for table, rows, parts in await core.store.run(core.store.select, _TABLES):
        samples |= {ROWS.sample(table): str(rows), PARTS.sample(table): str(parts)}
    return samples


async def spool_samples(spool: SpoolState) -> dict[str, str]:
    """Give what waits in a spool; nothing while nobody has opened it."""
    try:
        spooled = await asyncio.to_thread(spool.spooled)
    except LogUnavailableError:
        return {}
    age_us = 0 if spooled.oldest_at_us is None else max(now_us() - spooled.oldest_at_us, 0)
    return {
        SPOOL_EVENTS.sample(): str(spooled.events),
        SPOOL_BYTES.sample(): str(spooled.bytes),
        SPOOL_AGE.sample(): str(age_us // 1000),
    }


def _restarts(run_dir: Path) -> dict[str, str]:
    counts = read_tallies(run_dir, RESTART_CELLS)
    return {cell: str(counts[cell]) for cell in RESTART_CELLS}


def _from_here(address: str | None) -> bool:
    """Tell whether the gateway was asked from this machine; who asks the core's own socket is on it."""
    if address is None:
        return True
    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return found.is_loopback or (mapped is not None and mapped.is_loopback)
