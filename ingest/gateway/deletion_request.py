"""Which events to retract, read from a request.

A customer is resolved to all of its identifiers before the deletion goes into the log, so that what is retracted
depends on the log alone and never on what the registry says at a replay.
"""

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

from ingest.rules import NAME_CHARACTERS_MAX, shown
from metering.decimals import plain
from metering.http.problem import ApiError, invalid_field
from metering.retraction import Retraction
from metering.world import World

RECORD_IDS_MAX = 5000


class Matching(StrEnum):
    """By what the events to retract are found."""

    RECORD_IDS = "record_ids"
    CUSTOMER_ID = "customer_id"
    EVENT_TYPE = "event_type"
    ALL = "all"


class Identifiers(Protocol):
    """Tell all identifiers of a customer."""

    async def of(self, world: World, identifier: str) -> Sequence[str]:
        """Give our id and every external id of the customer that has this one; the one alone when nobody has it."""
        ...


async def read_deletion(world: World, sent: dict[str, Any], identifiers: Identifiers) -> Retraction:
    """Read the body of a request. `matching` may be absent when one field tells it.

    Fields that would narrow the deletion but do not go with its `matching` are refused rather than ignored: more
    would be deleted than was meant.

    Raises:
        ApiError: 400.
    """
    matching = _matching(sent)
    allowed = {matching.value} if matching is Matching.ALL else {matching.value, Matching.EVENT_TYPE.value}
    for field in Matching:
        if field.value not in allowed and sent.get(field.value) is not None:
            message = f"{field.value} does not go with matching={matching.value!r}: leave one of them out"
            raise invalid_field(field.value, "not_allowed", message)
    if matching is Matching.ALL:
        return Retraction(world)
    event_type = _identifier(sent, "event_type", required=matching is Matching.EVENT_TYPE)
    if matching is Matching.RECORD_IDS:
        return Retraction(world, event_type, record_ids=_record_ids(sent.get("record_ids")))
    if matching is Matching.CUSTOMER_ID:
        customer_id = _identifier(sent, "customer_id", required=True)
        assert customer_id is not None
        found = await identifiers.of(world, customer_id)
        return Retraction(world, event_type, customer_ids=tuple(dict.fromkeys((customer_id, *found))))
    return Retraction(world, event_type)


def _matching(sent: dict[str, Any]) -> Matching:
    if sent.get("matching") is not None:
        try:
            return Matching(sent["matching"])
        except ValueError:
            raise _which(f"matching is {shown(sent['matching'])}") from None
    named = [field for field in (Matching.RECORD_IDS, Matching.CUSTOMER_ID) if sent.get(field.value) is not None]
    if len(named) == 1:
        return named[0]
    if not named and sent.get("event_type") is not None:
        return Matching.EVENT_TYPE
    raise _which("matching is missing")


def _which(what: str) -> ApiError:
    choices = ", ".join(f'"{choice.value}"' for choice in Matching)
    return invalid_field("matching", "invalid_choice", f"{what}: send one of {choices}")


def _identifier(sent: dict[str, Any], field: str, *, required: bool) -> str | None:
    value = sent.get(field)
    if value is None and not required:
        return None
    if isinstance(value, str) and 0 < len(value) <= NAME_CHARACTERS_MAX:
        return value
    message = f"{field} must be a string of 1 to {NAME_CHARACTERS_MAX} characters, this is {shown(value)}"
    raise invalid_field(field, "required" if value is None else "invalid_type", message)


def _record_ids(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= RECORD_IDS_MAX:
        message = f"record_ids must be an array of 1 to {RECORD_IDS_MAX} ids"
        raise invalid_field("record_ids", "invalid_type", message)
    ids = dict.fromkeys(_record_id(index, one) for index, one in enumerate(value))
    return tuple(ids)


def _record_id(index: int, value: object) -> str:
    if isinstance(value, str):
        # No event has a longer id. Let through, megabytes of them would make a statement that the store refuses, and
        # the line could not get past the deletion.
        if not 0 < len(value) <= NAME_CHARACTERS_MAX:
            message = f"record id {shown(value)} has {len(value)} characters: an id has 1 to {NAME_CHARACTERS_MAX}"
            raise invalid_field(("record_ids", index), "invalid_length", message)
        return value
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    message = f"a record id is a string or a number, this is {shown(value)}"
    raise invalid_field(("record_ids", index), "invalid_type", message)
