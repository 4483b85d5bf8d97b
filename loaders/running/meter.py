"""What runs of dataloaders are measured by."""

from datetime import datetime

from loaders.dataloaders.model import Counts, RunStatus
from metering.metrics import Metric, MetricKind, Tallies

RUNS = Metric(
    "meterline_dataloader_runs_total",
    MetricKind.COUNTER,
    "Runs of dataloaders that ended, by how: done, partial (some rows were rejected) or error.",
    "error growing: GET /v1/dataloaders/{id}/runs tells why; each is a message dataloader.failed too.",
    "status",
)
ROWS = Metric(
    "meterline_dataloader_rows_total",
    MetricKind.COUNTER,
    "Rows that dataloaders read, by what became of them: accepted or rejected.",
    "rejected growing: the run tells the first rejected rows with their columns and reasons.",
    "outcome",
)
GOING_ON = Metric(
    "meterline_dataloader_runs_going_on",
    MetricKind.GAUGE,
    "Runs of dataloaders that are under way.",
    "Always at METERLINE_LOADERS_AT_ONCE while meterline_dataloader_overdue_ms grows: raise it, or start another.",
)
OVERDUE = Metric(
    "meterline_dataloader_overdue_ms",
    MetricKind.GAUGE,
    "Milliseconds since the run fell due that waits the longest to begin; 0 when none does.",
    "Growing for minutes: nobody runs dataloaders, or runs are too slow for their intervals.",
)
LOADER_METRICS = (RUNS, ROWS, GOING_ON, OVERDUE)
_STATUSES = (RunStatus.DONE, RunStatus.PARTIAL, RunStatus.ERROR)
LOADER_CELLS = (
    *(RUNS.sample(status.value) for status in _STATUSES),
    ROWS.sample("accepted"),
    ROWS.sample("rejected"),
    GOING_ON.sample(),
    OVERDUE.sample(),
)


class LoaderMeter:
    """Counts into this process's tallies."""

    def __init__(self, tallies: Tallies) -> None:
        """`tallies` has the `LOADER_CELLS`."""
        self._cells = tallies.cells
        self.goes_on(0)
        self.overdue(None, None)

    def ended(self, status: RunStatus) -> None:
        """Count a run that ended."""
        self._cells[_STATUSES.index(status)] += 1

    def read(self, before: Counts, after: Counts) -> None:
        """Count rows."""
        self._cells[3] += after.rows_accepted - before.rows_accepted
        self._cells[4] += after.rows_rejected - before.rows_rejected

    def goes_on(self, runs: int) -> None:
        """Learn how many runs are under way."""
        self._cells[5] = runs

    def overdue(self, since: datetime | None, now: datetime | None) -> None:
        """Learn since when a run is due."""
        late_ms = 0 if since is None or now is None else int((now - since).total_seconds() * 1000)
        self._cells[6] = max(late_ms, 0)
