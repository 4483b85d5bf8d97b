"""`GET /metrics`: what is measured in all processes, for Prometheus.

Only from this machine, unless `METERLINE_METRICS_PUBLIC=1`: the figures are of all accounts together. The gateway tells
who asks (it replaces what a client claims), so behind a proxy on this machine everybody asks from here: such a proxy
must keep the path to itself.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from aiohttp import web

from ingest.consumer.progress import LogProgress
from ingest.errors import LogUnavailableError
from ingest.gateway.meter import CELLS, DURATIONS, GATEWAY_METRICS
from ingest.log.clock import now_us
from ingest.log.spool.state import Spooled, SpoolState
from metering.errors import MeteringError
from metering.http.problem import forbidden
from metering.http.route import Call, Route
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
METRICS = (
    *GATEWAY_METRICS,
    LAG_EVENTS,
    LAG_AGE,
    APPLIED,
    LOG_BYTES,
    SPOOL_EVENTS,
    SPOOL_BYTES,
    SPOOL_AGE,
    ROWS,
    PARTS,
    RESTARTS,
)

KINDS = ("log", "spool", "core", "gateway")
RESTART_CELLS = tuple(RESTARTS.sample(kind) for kind in KINDS)

APPLIED_S_MAX = 2.0
"""So long a scrape waits to hear how far the figures are behind."""

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


def metrics_route(core: Measured, run_dir: Path, log_dir: Path, *, public: bool) -> Route:
    """Give the route; `run_dir` is where all processes count."""

    async def metrics(call: Call) -> web.Response:
        if not public and not _from_here(call.request.headers.get("X-Forwarded-For")):
            raise forbidden("metrics are told on this machine alone: set METERLINE_METRICS_PUBLIC=1 to tell everybody")
        samples = _counted(run_dir)
        samples[LOG_BYTES.sample()] = str(await asyncio.to_thread(_bytes_in, log_dir))
        if core.spool is not None:
            with suppress(LogUnavailableError):  # Nobody has opened it yet.
                _add_spooled(samples, await asyncio.to_thread(core.spool.spooled))
        # What the store or the log cannot tell is absent; the rest is needed then above all.
        with suppress(MeteringError, TimeoutError):
            async with asyncio.timeout(APPLIED_S_MAX):
                await _add_applied(samples, core)
        return web.Response(body=render(METRICS, samples).encode(), headers={"Content-Type": CONTENT_TYPE})

    return Route("GET", "/metrics", None, metrics, "What is measured, for Prometheus", "Health")


async def _add_applied(samples: dict[str, str], core: Measured) -> None:
    for lane, position in sorted((await core.versions.applied()).bounds.items()):
        samples[APPLIED.sample(str(lane))] = str(offset_of(position))
    for table, rows, parts in await core.store.run(core.store.select, _TABLES):
        samples[ROWS.sample(table)] = str(rows)
        samples[PARTS.sample(table)] = str(parts)
    lag = await core.progress.lag()  # Last: while the log is silent, the others are told all the same.
    samples[LAG_EVENTS.sample()] = str(lag.lag_events)
    samples[LAG_AGE.sample()] = str(lag.oldest_unapplied_age_ms)


def _add_spooled(samples: dict[str, str], spooled: Spooled) -> None:
    age_us = 0 if spooled.oldest_at_us is None else max(now_us() - spooled.oldest_at_us, 0)
    samples[SPOOL_EVENTS.sample()] = str(spooled.events)
    samples[SPOOL_BYTES.sample()] = str(spooled.bytes)
    samples[SPOOL_AGE.sample()] = str(age_us // 1000)


def _counted(run_dir: Path) -> dict[str, str]:
    counts: Mapping[str, int] = read_tallies(run_dir, CELLS)
    plain = {cell: str(counts[cell]) for cell in CELLS if not cell.startswith(DURATIONS.metric.name)}
    restarts = read_tallies(run_dir, RESTART_CELLS)
    return {**plain, **DURATIONS.samples(counts), **{cell: str(restarts[cell]) for cell in RESTART_CELLS}}


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


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # Old segments are unlinked while we look.
            total += path.stat().st_size if path.is_file() else 0
    return total
