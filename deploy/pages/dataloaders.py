"""What is pulled from databases: the dataloaders with their last and next runs, and the connections they use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from aiohttp import web

from deploy.pages.connection_form import FORMS
from deploy.pages.connections import SECTION, may_connect
from deploy.pages.lists import PAGES_MAX, ROWS, ListPage, list_page
from deploy.pages.questions import page_asked
from deploy.pages.sent_form import may_write
from deploy.pages.serving import Visit
from loaders.connections.keeping import CONNECTIONS_MAX
from loaders.connections.registry import StoredConnection, list_connections
from loaders.dataloaders.model import Dataloader, Run, RunStatus
from loaders.dataloaders.registry import list_dataloaders
from loaders.dataloaders.runs import latest_runs
from metering.world import World

UNFINISHED = frozenset({RunStatus.PENDING, RunStatus.PROCESSING})
TONES: Mapping[RunStatus, str] = {
    RunStatus.DONE: "good",
    RunStatus.PARTIAL: "warn",
    RunStatus.ERROR: "bad",
}
WORDS: Mapping[RunStatus, str] = {
    RunStatus.PENDING: "waiting",
    RunStatus.PROCESSING: "running",
    RunStatus.DONE: "done",
    RunStatus.PARTIAL: "partial",
    RunStatus.ERROR: "failed",
}
INTERVALS: Mapping[str, str] = {
    "5m": "every 5 minutes",
    "15m": "every 15 minutes",
    "30m": "every 30 minutes",
    "1h": "every hour",
    "3h": "every 3 hours",
    "6h": "every 6 hours",
    "12h": "every 12 hours",
    "24h": "every day",
}


@dataclass(frozen=True, slots=True)
class _Found:
    loaders: Sequence[Dataloader]
    total: int
    runs: Mapping[str, Run]
    connections: Sequence[StoredConnection]


async def dataloaders(visit: Visit) -> web.Response:
    """List dataloaders and connections."""
    page = page_asked(visit, PAGES_MAX)
    found = await visit.services.registry.read(_found, visit.world, page)
    pages: ListPage = list_page(SECTION, {}, page, len(found.loaders), found.total)
    context = {
        "title": "Data",
        "current": SECTION,
        "loaders": found.loaders,
        "runs": found.runs,
        "connections": found.connections,
        "names": {one.id: one.name for one in found.connections},
        "forms": FORMS,
        "tones": TONES,
        "words": WORDS,
        "schedule": schedule_text,
        "may_write": may_write(visit),
        "may_connect": may_connect(visit),
        "pages": pages,
    }
    return visit.render("dataloaders.html", context)


def schedule_text(loader: Dataloader) -> str:
    """Say when a dataloader runs by itself."""
    if loader.cron is not None:
        return f"cron {loader.cron} (UTC)"
    if loader.refresh_interval is not None:
        return INTERVALS.get(loader.refresh_interval, loader.refresh_interval)
    return "only when told to"


def _found(connection: sa.Connection, world: World, page: int) -> _Found:
    loaders, total = list_dataloaders(connection, world, conditions=(), take=ROWS, skip=(page - 1) * ROWS)
    runs = latest_runs(connection, world, [one.id for one in loaders])
    known, _ = list_connections(connection, world, conditions=(), take=CONNECTIONS_MAX, skip=0)
    return _Found(loaders, total, runs, known)
