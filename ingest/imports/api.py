"""`POST /v1/events/import`, `GET /v1/imports/{id}` and the template to start from."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

import structlog
from aiohttp import web

from ingest.csv_file import TEMPLATE
from ingest.event_routes import TAG
from ingest.imports.jobs import REJECTED_TOLD_MAX, UNFINISHED_MAX, ImportJob, ImportStatus, create_job, find_job
from ingest.imports.jobs import may_begin as has_room
from ingest.imports.spool import Spool
from ingest.imports.upload import Allow, anybody, receive_file
from metering.http.app import json_response
from metering.http.problem import ApiError, not_found, unavailable
from metering.http.route import Call, Route
from metering.http.scope import Scope
from metering.http.shapes import (
    INSTANT,
    INTEGER,
    OPTIONAL_INSTANT,
    OPTIONAL_TEXT,
    TEXT,
    array_of,
    described,
    object_of,
    one_of,
)
from metering.ids import new_id
from metering.registry.engine import Registry
from metering.timestamps import format_instant
from metering.world import World

UPLOADS_MAX = 8
"""How many uploads may be under way at one time, of all accounts."""

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class Runner(Protocol):
    """Who works jobs off."""

    def wake(self) -> None:
        """Learn that there is a new job."""
        ...


@dataclass(slots=True)
class Imports:
    """Takes files and tells how far they are. `uploading` counts the uploads under way."""

    registry: Registry
    spool: Spool
    runner: Runner
    clock: Callable[[], datetime]
    uploading: int = 0

    async def take(self, world: World, request: web.BaseRequest, allow: Allow = anybody) -> ImportJob:
        """Store a request's file and make its job; `allow` as in `receive_file`.

        Raises:
            ApiError: nothing is kept.
        """
        if not await self.registry.read(has_room, world):
            raise _too_many()
        if self.uploading >= UPLOADS_MAX:
            raise unavailable("too many files are being uploaded: send it again shortly", retry_after_s=5)
        self.uploading += 1
        try:
            return await self._take(world, request, allow)
        finally:
            self.uploading -= 1

    async def find(self, world: World, job_id: str) -> ImportJob:
        """Give a job.

        Raises:
            ApiError: 404.
        """
        job = await self.registry.read(find_job, world, job_id)
        if job is None:
            raise not_found(f"there is no import {job_id!r}: POST /v1/events/import answers with the id")
        return job

    async def _take(self, world: World, request: web.BaseRequest, allow: Allow) -> ImportJob:
        job_id = new_id("imp")
        job = None
        try:
            size = await self._store(job_id, request, allow)
            job = await self.registry.write(create_job, world, job_id, size, self.clock())
        finally:
            if job is None:
                await asyncio.to_thread(self.spool.drop, job_id)
        if job is None:
            raise _too_many()
        self.runner.wake()
        return job

    async def _store(self, job_id: str, request: web.BaseRequest, allow: Allow) -> int:
        async def write(chunk: bytes) -> None:
            await _on_disk(file.write, chunk)

        file = await _on_disk(self.spool.begin, job_id)
        with file:
            size = await receive_file(request, write, allow=allow)
            await _on_disk(self.spool.keep, job_id, file)  # Durable before the job, which is durable before the 202.
        return size


def import_routes(imports: Imports) -> Sequence[Route]:
    """Give the routes."""

    async def take(call: Call) -> web.StreamResponse:
        job = await imports.take(call.world, call.request)
        return json_response({"id": job.id, "status": job.status.value}, 202)

    async def tell(call: Call) -> web.StreamResponse:
        return json_response(_out(await imports.find(call.world, call.path("id"))))

    async def template(_: Call) -> web.StreamResponse:
        headers = {"Content-Disposition": 'attachment; filename="events.csv"'}
        return web.Response(body=TEMPLATE, content_type="text/csv", charset="utf-8", headers=headers)

    ingest = Scope.INGEST
    take_summary = "Import a CSV file of events in the background; 202 once the file is stored"
    tell_summary = "How far an import is, and which lines were rejected"
    template_summary = "A CSV file to start from: the header line and an example (text/csv)"
    template_path = "/v1/events/import/template"
    return (
        Route(
            "POST",
            "/v1/events/import",
            ingest,
            take,
            take_summary,
            TAG,
            202,
            body=_FORM,
            body_type="multipart/form-data",
            answer=_BEGUN,
            failures=(400, 401, 403, 408, 413, 415, 429, 503),
        ),
        Route("GET", "/v1/imports/{id}", ingest, tell, tell_summary, TAG, answer=_IMPORT),
        Route("GET", template_path, ingest, template, template_summary, TAG, answer=TEXT, answer_type="text/csv"),
    )


async def _on_disk(work: Callable[..., T], *args: Any) -> T:
    try:
        return await asyncio.to_thread(work, *args)
    except OSError as error:
        _log.warning("an upload cannot be stored", reason=str(error))
        raise unavailable(f"the file cannot be stored here ({error.strerror}): try again later") from None


def _too_many() -> ApiError:
    message = f"{UNFINISHED_MAX} imports of this account wait or are under way: wait until one is done"
    return ApiError(429, message, headers={"Retry-After": "30"})


def _out(job: ImportJob) -> dict[str, object]:
    return {
        "id": job.id,
        "status": job.status.value,
        "rows_total": job.rows_total,
        "rows_accepted": job.rows_accepted,
        "rows_rejected": job.rows_rejected,
        "rejected": job.rejected,
        "message": job.message,
        "bytes_total": job.bytes_total,
        "bytes_read": job.bytes_read,
        "created_at": format_instant(job.created_at),
        "ended_at": None if job.ended_at is None else format_instant(job.ended_at),
    }


_STATUS = one_of([status.value for status in ImportStatus])
_FORM = object_of(
    {
        "file": {
            "type": "string",
            "contentMediaType": "text/csv",
            "description": "Columns timestamp, event_type, customer_id, record/id and record/… of each property.",
        }
    },
    title="NewImport",
)
_BEGUN = object_of({"id": TEXT, "status": _STATUS}, title="ImportBegun")
_REJECTED = object_of(
    {"line": INTEGER, "path": array_of({"type": ["string", "integer"]}), "message": TEXT}, title="RejectedLine"
)
_IMPORT = object_of(
    {
        "id": TEXT,
        "status": described(
            _STATUS, "partial: some lines were rejected; error: not readable to its end, or no line was good."
        ),
        "rows_total": described(INTEGER, "Rows read so far; the header is none."),
        "rows_accepted": INTEGER,
        "rows_rejected": INTEGER,
        "rejected": described(array_of(_REJECTED), f"The first {REJECTED_TOLD_MAX}; the header is line 1."),
        "message": described(OPTIONAL_TEXT, "What stopped it, and the remedy."),
        "bytes_total": described(INTEGER, "Of the file."),
        "bytes_read": INTEGER,
        "created_at": INSTANT,
        "ended_at": OPTIONAL_INSTANT,
    },
    title="Import",
)
