"""Settle at which cut-off a figure is read, and tell the client.

Without `as_of` it is everything applied now. A value of `X-Usage-Cutoff` gives the same figure again, for ever; a
date-time gives what was known then. So both say which definitions of aggregators are in force too: the header names the
last change of one, and a cut-off without it stands for the instant at which it was reached. Customers, names and units
are as they are now.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol
from zlib import crc32

from metering.http.problem import ApiError, invalid_field
from metering.http.route import Call, Parameter
from metering.position import Cutoff
from metering.registry.definitions import newest_revision, revision_at
from metering.registry.engine import Registry
from metering.store.client import Store
from metering.store.history import committed_at
from metering.timestamps import EPOCH, TimestampError, format_instant, parse_iso

HEADER = "X-Usage-Cutoff"
CLOCK_SKEW_MAX = timedelta(minutes=1)
"""A client's clock may be this far ahead of ours before its now is a future of which nothing is known."""

_REVISION_DIGITS_MAX = 15

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
    """The cut-off of one answer, and the last change of an aggregator that it knows; 0 is none."""

    cutoff: Cutoff
    revision: int = 0

    @property
    def headers(self) -> Mapping[str, str]:
        """The header that names both."""
        text = self.cutoff.encode()
        return {HEADER: _checked(f"{text}@{self.revision:x}") if self.revision else text}


async def as_of(call: Call, cutoffs: Cutoffs, now: datetime) -> AsOf:
    """Give the cut-off that a call asks for; what aggregators counted then is not asked.

    Raises:
        ApiError: 400 for a text that is neither cut-off nor date-time, and for what is not known yet.
    """
    text = call.query("as_of")
    if text is None:
        return AsOf(await cutoffs.applied())
    if text.startswith("c1"):
        cutoff, _ = _read(text)
        return AsOf(_reached(cutoff, await cutoffs.applied()))
    return AsOf(await cutoffs.applied_at(_moment(text, now)))


async def as_of_with_definitions(call: Call, cutoffs: Cutoffs, now: datetime, registry: Registry, store: Store) -> AsOf:
    """Give the cut-off that a call asks for, and the definitions: those in force at it, without `as_of` the newest.

    Raises:
        ApiError: as `as_of`.
    """
    at, text = await as_of(call, cutoffs, now), call.query("as_of")
    if text is None:
        return replace(at, revision=await registry.read(newest_revision, call.world))
    if not text.startswith("c1"):
        return replace(at, revision=await registry.read(revision_at, call.world, _moment(text, now)))
    _, revision = _read(text)
    if revision is not None:
        if revision > await registry.read(newest_revision, call.world):
            raise _fault("this cut-off names a change of an aggregator that is not known here")
        return replace(at, revision=revision)
    reached = await store.run(committed_at, store, at.cutoff)
    return at if reached is None else replace(at, revision=await registry.read(revision_at, call.world, reached))


def _read(text: str) -> tuple[Cutoff, int | None]:
    """Read a value of the header: the cut-off, and the change that it names."""
    head, mark, rest = text.partition("@")
    named = rest.partition(".")[0]
    if mark and (text != _checked(f"{head}@{named}") or not named.isalnum() or len(named) > _REVISION_DIGITS_MAX):
        raise _fault(f"{text[:60]!r} is no cut-off: send a value of the {HEADER} header as it came")
    try:
        return Cutoff.decode(head), int(named, 16) if mark else None
    except ValueError as error:
        raise _fault(str(error)) from None


def _checked(text: str) -> str:
    """Put a check behind a text, so that one that lost a digit is not taken for another."""
    return f"{text}.{crc32(text.encode()):08x}"


def _reached(asked: Cutoff, applied: Cutoff) -> Cutoff:
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
