"""`meterline status`: how far the figures are, what is stored, and what it takes on disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web
from rich.console import Console
from rich.table import Table

from deploy.clock import now
from deploy.core_socket import NoCoreError, ask_core
from deploy.disk_use import disk_use, places_of
from deploy.settings import Settings
from deploy.version import VERSION
from ingest.consumer.progress import LogProgress
from ingest.core_api import internal_only
from ingest.log.archive.folder import archived, runs
from ingest.log.local.folder import first_offsets
from loaders.dataloaders.runs import overdue_since
from metering.http.app import json_response
from metering.http.route import Call, Route
from metering.registry.engine import Registry
from metering.store.client import Store
from metering.timestamps import format_instant

STATUS_PATH = "/internal/status"

_ROWS = """
SELECT table, sum(rows) FROM system.parts WHERE active AND database = currentDatabase() GROUP BY table ORDER BY table
"""
_NAMES = {
    "events": "versions of events",
    "superseded": "of them superseded",
    "event_keys": "keys",
    "dead_letters": "dead letters",
    "applied": "batches applied",
}


def status_route(store: Store, progress: LogProgress, registry: Registry) -> Route:
    """Give the route that the command asks; to be served on the core's own socket."""

    async def status(_: Call) -> web.StreamResponse:
        lag = await progress.lag()
        rows = await store.run(store.select, _ROWS)
        overdue = await registry.read(overdue_since, now())
        told = {
            "version": VERSION,
            "lag_events": lag.lag_events,
            "applied_until": format_instant(lag.applied_until),
            "oldest_unapplied_age_ms": lag.oldest_unapplied_age_ms,
            "rows": {table: int(count) for table, count in rows},
            "dataloaders_wait_since": None if overdue is None else format_instant(overdue),
        }
        return json_response(told)

    return Route("GET", STATUS_PATH, None, internal_only(status), "Tell how it stands", "internal")


def show_status(settings: Settings, console: Console) -> int:
    """Print it; gives the exit code: 3 when nothing runs, as service managers expect of a status."""
    try:
        told: Mapping[str, Any] | None = ask_core(settings, "GET", STATUS_PATH)
    except NoCoreError:
        told = None
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    if told is None:
        table.add_row("state", "not running")
    else:
        table.add_row("state", "running")
        table.add_row("release", told["version"])
        table.add_row("events accepted, not in the figures", f"{told['lag_events']:,}")
        table.add_row("oldest of them, ms", f"{told['oldest_unapplied_age_ms']:,}")
        table.add_row("figures hold all accepted before", told["applied_until"])
        table.add_row("dataloaders wait to run since", told["dataloaders_wait_since"] or "none waits")
        for name, meaning in _NAMES.items():
            table.add_row(f"{meaning} (rows)", f"{told['rows'].get(name, 0):,}")
    if not settings.log_url:
        table.add_row("log, offsets", _log_offsets(settings.log_dir))
        table.add_row("archive, offsets", _archive_offsets(settings.log_archive_dir))
    places = places_of(settings.data_dir, settings.log_archive_dir, settings.store_url, settings.registry_url)
    for part, used in disk_use(places).items():
        table.add_row(f"{part}, bytes on disk", f"{used:,}")
    console.print(table)
    return 0 if told is not None else 3


def _log_offsets(folder: Path) -> str:
    firsts = first_offsets(folder) if folder.exists() else []
    return f"from {firsts[0]:,} in {len(firsts)} segments" if firsts else "none"


def _archive_offsets(folder: Path) -> str:
    segments = archived(folder)
    spans = ", ".join(f"{first:,} to {following - 1:,}" for first, following in runs(segments))
    return f"{spans} in {len(segments)} segments" if segments else "none"
