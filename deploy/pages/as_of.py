"""What a page's figures rest on: one cut-off for the whole page, and until when everything that came in is in it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from deploy.pages.services import PageServices
from ingest.consumer.lag import Lag
from ingest.errors import IngestError
from metering.errors import UnavailableError
from metering.position import Cutoff
from metering.timestamps import microseconds

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AsOf:
    """The cut-off that a page reads at. `until_us` None: nothing was counted yet. `lag` None: it cannot be told now."""

    cutoff: Cutoff
    until_us: int | None
    lag: Lag | None
    now: datetime

    @property
    def behind(self) -> timedelta:
        """Give how old the oldest event is that is accepted and not yet in the figures."""
        return timedelta(milliseconds=self.lag.oldest_unapplied_age_ms if self.lag else 0)


async def read_as_of(services: PageServices) -> AsOf:
    """Read the lag first and the cut-off after it: so the cut-off holds at least what the lag says it does."""
    try:
        lag = await services.lag()
    except (UnavailableError, IngestError) as error:
        # Even a broken log leaves the figures as true as they were: the pages show them and say what is not known.
        _log.warning("lag unknown", reason=str(error))
        lag = None
    cutoff = await services.cutoffs.applied()
    if lag is not None:
        return AsOf(cutoff, microseconds(lag.applied_until), lag, services.clock())
    marked = await services.cutoffs.last_marked_at()
    return AsOf(cutoff, None if marked is None else microseconds(marked), None, services.clock())
