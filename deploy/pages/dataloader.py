"""One dataloader: what it does, how its runs went, and the buttons that run, pause, reload and delete it.

While a run is due or under way the page asks the browser to load it again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from aiohttp import web

from deploy.pages.connections import SECTION
from deploy.pages.dataloaders import TONES, UNFINISHED, WORDS, schedule_text
from deploy.pages.lists import PAGES_MAX, ROWS, list_page
from deploy.pages.questions import page_asked
from deploy.pages.sent_form import may_write, read_own_form, require_write
from deploy.pages.serving import Visit, see_other
from loaders.connections.registry import StoredConnection, find_connection
from loaders.dataloaders.api import begin, change, forget, require_dataloader
from loaders.dataloaders.model import Dataloader, Run, RunStatus
from loaders.dataloaders.runs import find_run, list_runs
from metering.http.problem import ApiError, not_found
from metering.world import World

RELOAD_S = 2
PATIENCE = timedelta(minutes=1)
"""Whoever waits for longer is told who takes runs up."""


@dataclass(frozen=True, slots=True)
class _Found:
    loader: Dataloader
    connection: StoredConnection | None
    runs: Sequence[Run]
    total: int


async def dataloader(visit: Visit) -> web.Response:
    """Show one dataloader and its runs."""
    return await show_dataloader(visit)


async def show_dataloader(visit: Visit, *, error: ApiError | None = None) -> web.Response:
    """Show one dataloader, and what stood against what was asked of it."""
    identifier, page = visit.request.match_info["id"], page_asked(visit, PAGES_MAX)
    found = await visit.services.registry.read(_found, visit.world, identifier, page)
    unfinished = page == 1 and any(run.status in UNFINISHED for run in found.runs)
    waited = _waited(found, visit.services.clock())
    context = {
        "title": found.loader.name or found.loader.event_type,
        "current": SECTION,
        "loader": found.loader,
        "connection": found.connection,
        "schedule": schedule_text(found.loader),
        "runs": found.runs,
        "tones": TONES,
        "words": WORDS,
        "unfinished": unfinished,
        "is_due": waited is not None,
        "waited": waited if waited is not None and waited > PATIENCE else None,
        "wrong": "" if error is None else error.message,
        "may_write": may_write(visit),
        "pages": list_page(f"{SECTION}/{quote(identifier, safe='')}", {}, page, len(found.runs), found.total),
    }
    response = visit.render("dataloader.html", context, error.status if error else 200)
    if (unfinished or waited is not None) and page == 1 and error is None:
        response.headers["Refresh"] = str(RELOAD_S)
    return response


async def run_dataloader(visit: Visit) -> web.Response:
    """Begin a run now."""
    return await _begin(visit, from_start=False)


async def reload_dataloader(visit: Visit) -> web.Response:
    """Ask once more, then begin a run that reads everything."""
    if visit.request.method != "POST":
        require_write(visit)
        loader = await visit.services.registry.read(require_dataloader, visit.world, visit.request.match_info["id"])
        context = {
            "title": "Reload from the start?",
            "current": SECTION,
            "name": loader.name or loader.event_type,
            "what": (
                "The query runs as if for the first time and reads everything it finds. Rows that are there already "
                "change nothing, corrected ones take the place of what was; nothing is counted twice."
            ),
            "verb": "Reload from the start",
            "back": _path(loader.id),
        }
        return visit.render("confirm.html", context)
    return await _begin(visit, from_start=True)


async def pause_dataloader(visit: Visit) -> web.Response:
    """Run it no more by itself, and end the run that is under way."""
    return await _set_status(visit, "paused")


async def resume_dataloader(visit: Visit) -> web.Response:
    """Let it run by itself again."""
    return await _set_status(visit, "active")


async def forget_dataloader(visit: Visit) -> web.Response:
    """Ask once more, then delete a dataloader."""
    require_write(visit)
    identifier = visit.request.match_info["id"]
    if visit.request.method != "POST":
        loader = await visit.services.registry.read(require_dataloader, visit.world, identifier)
        context = {
            "title": "Delete this dataloader?",
            "current": SECTION,
            "name": loader.name or loader.event_type,
            "what": "Its query and the history of its runs are forgotten. The events that it loaded stay.",
            "verb": "Delete the dataloader",
            "back": _path(identifier),
        }
        return visit.render("confirm.html", context)
    await read_own_form(visit)
    await visit.services.registry.write(forget, visit.world, identifier)
    return see_other(SECTION)


async def dataloader_run(visit: Visit) -> web.Response:
    """Show how far a run is, and which rows it rejected."""
    identifier, run_id = visit.request.match_info["id"], visit.request.match_info["run"]
    loader, run = await visit.services.registry.read(_run, visit.world, identifier, run_id)
    context = {
        "title": f"Run {WORDS[run.status]}",
        "current": SECTION,
        "loader": loader,
        "run": run,
        "duration": _duration(visit, run),
        "unfinished": run.status in UNFINISHED,
    }
    response = visit.render("dataloader_run.html", context)
    if run.status in UNFINISHED:
        response.headers["Refresh"] = str(RELOAD_S)
    return response


async def _begin(visit: Visit, *, from_start: bool) -> web.Response:
    require_write(visit)
    await read_own_form(visit)
    services, identifier = visit.services, visit.request.match_info["id"]
    try:
        run = await services.registry.write(begin, visit.world, identifier, from_start, services.clock())
    except ApiError as error:
        if error.status == 404:
            raise
        return await show_dataloader(visit, error=error)
    return see_other(f"{_path(identifier)}/runs/{quote(run.id, safe='')}")


async def _set_status(visit: Visit, status: str) -> web.Response:
    require_write(visit)
    await read_own_form(visit)
    services, identifier = visit.services, visit.request.match_info["id"]
    body: Mapping[str, Any] = {"status": status}
    await services.registry.write(change, visit.world, identifier, body, services.clock())
    return see_other(_path(identifier))


def _waited(found: _Found, now: datetime) -> timedelta | None:
    """Give for how long a run waits that nobody works on, or has been due; None when nothing waits."""
    if any(run.status is RunStatus.PROCESSING for run in found.runs):
        return None
    since = min((run.created_at for run in found.runs if run.status is RunStatus.PENDING), default=None)
    since = since or found.loader.next_run_at
    return None if since is None or since > now else now - since


def _duration(visit: Visit, run: Run) -> timedelta | None:
    if run.started_at is None:
        return None
    return (run.ended_at or visit.services.clock()) - run.started_at


def _found(connection: sa.Connection, world: World, identifier: str, page: int) -> _Found:
    loader = require_dataloader(connection, world, identifier)
    runs, total = list_runs(connection, world, loader.id, take=ROWS, skip=(page - 1) * ROWS)
    return _Found(loader, find_connection(connection, world, loader.connection_id), runs, total)


def _run(connection: sa.Connection, world: World, identifier: str, run_id: str) -> tuple[Dataloader, Run]:
    loader = require_dataloader(connection, world, identifier)
    run = find_run(connection, world, loader.id, run_id)
    if run is None:
        raise not_found(f"No run has the id “{run_id[:80]}” here: the last ones of a dataloader are kept.")
    return loader, run


def _path(identifier: str) -> str:
    return f"{SECTION}/{quote(identifier, safe='')}"
