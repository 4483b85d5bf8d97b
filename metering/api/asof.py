"""Settle at which cut-off a figure is read, and tell the client.

Without `as_of` it is everything applied now. A value of `X-Usage-Cutoff` gives the same figure again, for ever; a
date-time gives what was known then. The figure's events are those within the cut-off, but customers and aggregators
are as they are now.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from metering.http.problem import ApiError, invalid_field
from metering.http.route import Call, Parameter
from metering.position import Cutoff
from metering.timestamps import EPOCH, TimestampError, format_instant, parse_iso

HEADER = "X-Usage-Cutoff"
CLOCK_SKEW_MAX = timedelta(minutes=1)
"""A client's clock may be this far ahead of ours before its now is a future of which nothing is known."""

PARAMETER = Parameter(
    "as_of", f"Recompute as it stood: a value of the {HEADER} header, or a date-time. Everything applied when absent."
)


class Cutoffs(Protocol):
    """What is applied, and what was: the reading half of `metering.store.versions.VersionStore`."""

    async def applied(self) -> Cutoff:
        """Give the newest cut-off."""
        ...

    async def applied_at(self, moment: datetime, /) -> Cutoff:
        """Give the last cut-off that was marked at or before a moment; before the first one nothing is seen."""
        ...


@dataclass(frozen=True, slots=True)
class AsOf:
    """The cut-off of one answer."""

    cutoff: Cutoff

    @property
    def headers(self) -> Mapping[str, str]:
        """The header that names the cut-off."""
        return {HEADER: self.cutoff.encode()}


async def as_of(call: Call, cutoffs: Cutoffs, now: datetime) -> AsOf:
    """Give the cut-off that a call asks for.

    Raises:
        ApiError: 400 for a text that is neither cut-off nor date-time, and for what is not known yet.
    """
    text = call.query("as_of")
    if text is None:
        return AsOf(await cutoffs.applied())
    if text.startswith("c1"):
        return AsOf(_reached(text, await cutoffs.applied()))
    return AsOf(await cutoffs.applied_at(_moment(text, now)))


def _reached(text: str, applied: Cutoff) -> Cutoff:
    try:
        asked = Cutoff.decode(text)
    except ValueError as error:
        raise _fault(str(error)) from None
    if not applied.includes(asked):
        raise _fault("this cut-off lies beyond what is applied here: it comes from another installation, or too early")
    return asked


def _moment(text: str, now: datetime) -> datetime:
    try:
        moment = EPOCH + timedelta(microseconds=parse_iso(text))
    except (TimestampError, OverflowError):
        raise _fault(f"{text[:60]!r} is neither a value of {HEADER} nor a date-time") from None
    if moment > now + CLOCK_SKEW_MAX:
        raise _fault(f"{format_instant(moment)} lies in the future: leave as_of out for what is known now")
    return min(moment, now)


def _fault(message: str) -> ApiError:
    return invalid_field("as_of", "as_of", f"as_of: {message}")
