"""What a dataloader is, and what a run of one is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from loaders.cursors import Cursor
from metering.world import World

REJECTED_TOLD_MAX = 1000


class DataloaderStatus(StrEnum):
    """A paused one runs only when it is told to."""

    ACTIVE = "active"
    PAUSED = "paused"


class RunStatus(StrEnum):
    """`partial`: some rows were rejected; `error`: it was stopped before its end, or no row was good."""

    PENDING = "pending"
    PROCESSING = "processing"
    DONE = "done"
    PARTIAL = "partial"
    ERROR = "error"


class Trigger(StrEnum):
    """Who began a run."""

    MANUAL = "manual"
    SCHEDULED = "scheduled"


@dataclass(frozen=True, slots=True)
class Dataloader:
    """A query whose rows are events. `cursor` and `last_run_at` are those of the last run that ended well."""

    id: str
    world: World
    connection_id: str
    name: str | None
    event_type: str
    query: str
    refresh_interval: str | None
    cron: str | None
    cursor_column: str | None
    cursor_start: str | int | Decimal | None
    status: DataloaderStatus
    definition: int
    cursor: Cursor | None
    last_run_at: datetime | None
    scheduled_from: datetime
    next_run_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Counts:
    """How far a run is. `rejected` are the first faults of rows, as they go out."""

    rows_read: int = 0
    rows_accepted: int = 0
    rows_rejected: int = 0
    rejected: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `cursor` is where it ended, None before; `message` says what stopped it, None when nothing did."""

    id: str
    world: World
    dataloader_id: str
    connection_id: str
    status: RunStatus
    trigger: Trigger
    from_start: bool
    attempts: int
    counts: Counts
    message: str | None
    cursor: Cursor | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
