"""What a dataloader is over HTTP: its fields, how each is checked, and the objects that come back."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from loaders.cursors import start_cursor
from loaders.dataloaders.model import REJECTED_TOLD_MAX, Dataloader, DataloaderStatus, Run, RunStatus, Trigger
from loaders.dataloaders.schedule import CRON_CHARACTERS_MAX, REFRESH_INTERVALS, CronError, check_cron
from loaders.source import PARAMETERS, REQUIRED_COLUMNS
from metering.http.fields import Fields
from metering.http.shapes import (
    BOOLEAN,
    INSTANT,
    INTEGER,
    NAME,
    OPTIONAL_INSTANT,
    OPTIONAL_NAME,
    OPTIONAL_TEXT,
    TEXT,
    Shape,
    array_of,
    described,
    object_of,
    one_of,
    request_of,
)
from metering.timestamps import format_instant

QUERY_CHARACTERS_MAX = 20_000
CURSOR_START_CHARACTERS_MAX = 255
REJECTED_LISTED_MAX = 20

_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


def placeholders(query: str) -> set[str]:
    """Give the names that stand in double braces in a query."""
    return set(_PLACEHOLDER.findall(query))


def read_dataloader(body: Mapping[str, Any], now: datetime, current: Dataloader | None = None) -> dict[str, Any]:
    """Give the columns that a body sets: of a new dataloader, or of `current`, whose absent fields stay as they are.

    Whether the connection is there is not checked here.

    Raises:
        ApiError: 400 with every fault.
    """
    fields = Fields(body)
    new = current is None
    values: dict[str, Any] = {
        name: read(fields, now) for name, read in _COLUMNS.items() if fields.has(name) or (new and name in _REQUIRED)
    }
    told = {part for fault in fields.faults for part in fault.path}
    after = {name: values.get(name, getattr(current, name, None)) for name in _COLUMNS}
    if after["refresh_interval"] is not None and after["cron"] is not None:
        both = "and refresh_interval exclude each other: send null for the one that is not meant"
        fields.fault("cron", "ambiguous", both)
    if not told & {"query", "cursor_column", "cursor_start"}:
        _check_cursor(fields, after)
    fields.refuse_faults()
    if current is not None:
        values = {name: value for name, value in values.items() if value is not None or name not in _NEVER_NULL}
    return values


def read_query(fields: Fields) -> str | None:
    """Check a query as far as it can be without its provider: its length, and what it names in double braces."""
    text = fields.text("query", characters_max=QUERY_CHARACTERS_MAX)
    if text is None or not text.strip():
        if fields.raw("query") is None or text is not None:
            columns = ", ".join(REQUIRED_COLUMNS)
            fields.fault("query", "required", f"is needed: send one that returns the columns {columns}")
        return None
    unknown = sorted(placeholders(text) - set(PARAMETERS))
    if unknown:
        known = " and ".join(f"{{{{{name}}}}}" for name in PARAMETERS)
        fields.fault("query", "unknown_parameter", f"{{{{{unknown[0][:40]}}}}} is not known: there are {known}")
        return None
    return text


def read_cursor_start(fields: Fields, _now: datetime | None = None) -> str | int | Decimal | None:
    """Give what a cursor begins at: a number or text."""
    value = fields.raw("cursor_start")
    if value is None:
        return None
    if isinstance(value, str):
        text = fields.name("cursor_start", characters_max=CURSOR_START_CHARACTERS_MAX)
        try:
            if text is not None:
                start_cursor(text)
        except ValueError as error:
            fields.fault("cursor_start", "timestamp", f"{value[:60]!r} is no instant: {error}")
        return text
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return value
    fields.fault("cursor_start", "type", 'must be a number or text, such as 0 or "1970-01-01T00:00:00Z"')
    return None


def dataloader_object(dataloader: Dataloader) -> dict[str, Any]:
    """Give the dataloader as it goes out."""
    return {
        "id": dataloader.id,
        "name": dataloader.name,
        "connection_id": dataloader.connection_id,
        "event_type": dataloader.event_type,
        "query": dataloader.query,
        "refresh_interval": dataloader.refresh_interval,
        "cron": dataloader.cron,
        "cursor_column": dataloader.cursor_column,
        "cursor_start": dataloader.cursor_start,
        "status": dataloader.status.value,
        "cursor": None if dataloader.cursor is None else dataloader.cursor.value,
        "last_run_at": _instant(dataloader.last_run_at),
        "next_run_at": _instant(dataloader.next_run_at),
        "created_at": format_instant(dataloader.created_at),
        "updated_at": format_instant(dataloader.updated_at),
    }


def run_object(run: Run, rejected_max: int = REJECTED_TOLD_MAX) -> dict[str, Any]:
    """Give the run as it goes out, with so many of its rejected rows."""
    return {
        "id": run.id,
        "dataloader_id": run.dataloader_id,
        "status": run.status.value,
        "trigger": run.trigger.value,
        "from_start": run.from_start,
        "attempts": run.attempts,
        "created_at": format_instant(run.created_at),
        "started_at": _instant(run.started_at),
        "ended_at": _instant(run.ended_at),
        "rows_read": run.counts.rows_read,
        "rows_accepted": run.counts.rows_accepted,
        "rows_rejected": run.counts.rows_rejected,
        "rejected": list(run.counts.rejected[:rejected_max]),
        "message": run.message,
        "cursor": None if run.cursor is None else run.cursor.value,
    }


def _check_cursor(fields: Fields, after: Mapping[str, Any]) -> None:
    """Note a fault unless column and start are given together, and both where the query names the cursor."""
    named = "cursor" in placeholders(after["query"] or "")
    given = {name for name in ("cursor_column", "cursor_start") if after[name] is not None}
    if len(given) == 2 or (not given and not named):
        return
    for name in ("cursor_column", "cursor_start"):
        if name not in given:
            why = "the query names {{cursor}}" if named else f"{given.pop()} is given"
            what = (
                "the column whose greatest value the next run reads on from"
                if name == "cursor_column"
                else 'what the first run reads from, such as 0 or "1970-01-01T00:00:00Z"'
            )
            fields.fault(name, "required", f"is needed because {why}: send {what}")
            return


def _refresh_interval(fields: Fields, _now: datetime) -> str | None:
    value = fields.name("refresh_interval")
    if value is not None and value not in REFRESH_INTERVALS:
        known = ", ".join(REFRESH_INTERVALS)
        fields.fault("refresh_interval", "unknown_value", f"{value[:40]!r} is not one of {known}; or send a cron")
        return None
    return value


def _cron(fields: Fields, now: datetime) -> str | None:
    value = fields.name("cron", characters_max=CRON_CHARACTERS_MAX)
    if value is None:
        return None
    try:
        check_cron(value, now)
    except CronError as error:
        fields.fault("cron", "cron", str(error))
        return None
    return value


def _status(fields: Fields, _now: datetime) -> str | None:
    found = fields.choice("status", DataloaderStatus)
    return None if found is None else found.value


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)


_REQUIRED = ("connection_id", "event_type", "query")
_NEVER_NULL = (*_REQUIRED, "status")
_COLUMNS: Mapping[str, Callable[[Fields, datetime], Any]] = {
    "connection_id": lambda fields, _: fields.name("connection_id", required=True),
    "name": lambda fields, _: fields.name("name"),
    "event_type": lambda fields, _: fields.name("event_type", required=True),
    "query": lambda fields, _: read_query(fields),
    "refresh_interval": _refresh_interval,
    "cron": _cron,
    "cursor_column": lambda fields, _: fields.name("cursor_column"),
    "cursor_start": read_cursor_start,
    "status": _status,
}

_CURSOR_VALUE: Shape = {"type": ["string", "number", "null"]}
_SENT: Mapping[str, Shape] = {
    "name": described(OPTIONAL_NAME, "What to call it; it changes nothing."),
    "connection_id": described(NAME, "Of this account in this mode."),
    "event_type": described(NAME, "The event_type of the events that its rows become."),
    "query": {
        "type": "string",
        "minLength": 1,
        "maxLength": QUERY_CHARACTERS_MAX,
        "description": 'One that reads. It returns the columns "id", "customerId" and "timestamp", in exactly this '
        'casing, "customerName" if you like, and each other column is a property. {{last_run_at}} and {{cursor}} are '
        "bound: when the last run that ended well began, and how far it read.",
        "examples": ['SELECT id, company_id AS "customerId", created_at AS timestamp, tokens FROM api_calls'],
    },
    "refresh_interval": described(one_of([*REFRESH_INTERVALS], optional=True), "How often it runs; or send cron."),
    "cron": described(
        {"type": ["string", "null"], "maxLength": CRON_CHARACTERS_MAX, "examples": ["15 * * * *"]},
        "When it runs, in UTC: minute, hour, day of month, month, day of week. Without it and refresh_interval it "
        "runs only when it is told to.",
    ),
    "cursor_column": described(OPTIONAL_NAME, "The column whose greatest value becomes {{cursor}} of the next run."),
    "cursor_start": described(_CURSOR_VALUE, "{{cursor}} of the first run, and of one from the start."),
    "status": described(one_of([status.value for status in DataloaderStatus]), "Pausing ends a run under way."),
}
DATALOADER_BODY: Shape = request_of(_SENT, title="DataloaderFields", never_null=_NEVER_NULL)
NEW_DATALOADER_BODY: Shape = request_of(_SENT, title="NewDataloader", required=_REQUIRED, never_null=("status",))
DATALOADER: Shape = object_of(
    {
        "id": TEXT,
        **_SENT,
        "cursor": described(_CURSOR_VALUE, "How far the last run that ended well has read."),
        "last_run_at": described(OPTIONAL_INSTANT, "When the last run that ended well began, by the source's clock."),
        "next_run_at": OPTIONAL_INSTANT,
        "created_at": INSTANT,
        "updated_at": INSTANT,
    },
    title="Dataloader",
)
RUN_STATUS: Shape = one_of([status.value for status in RunStatus])
_REJECTED_ROW: Shape = object_of(
    {
        "row": described(INTEGER, "Counted from 1, in the order in which the source gave them."),
        "id": described(OPTIONAL_TEXT, "The row's id, where it has one that can be told."),
        "column": described(OPTIONAL_TEXT, "Null when it is not one column's fault."),
        "message": TEXT,
    },
    title="RejectedRow",
)
RUN: Shape = object_of(
    {
        "id": TEXT,
        "dataloader_id": TEXT,
        "status": described(
            RUN_STATUS, "partial: some rows were rejected; error: it was stopped, or no row was accepted."
        ),
        "trigger": one_of([trigger.value for trigger in Trigger]),
        "from_start": BOOLEAN,
        "attempts": described(INTEGER, "How often it was begun: more than once when a process ended in its midst."),
        "created_at": INSTANT,
        "started_at": OPTIONAL_INSTANT,
        "ended_at": OPTIONAL_INSTANT,
        "rows_read": INTEGER,
        "rows_accepted": described(INTEGER, "Durable in the log."),
        "rows_rejected": INTEGER,
        "rejected": described(
            array_of(_REJECTED_ROW), f"The first {REJECTED_TOLD_MAX}; {REJECTED_LISTED_MAX} in a list."
        ),
        "message": described(OPTIONAL_TEXT, "What stopped it, in the database's words where there are any."),
        "cursor": described(_CURSOR_VALUE, "How far it has read, once it has ended well."),
    },
    title="DataloaderRun",
)
RUN_BODY: Shape = request_of(
    {"from_start": described(BOOLEAN, "Read all: {{last_run_at}} is 1970-01-01 and {{cursor}} is cursor_start.")},
    title="NewDataloaderRun",
)
RUN_BEGUN: Shape = object_of({"id": TEXT, "status": RUN_STATUS}, title="DataloaderRunBegun")
