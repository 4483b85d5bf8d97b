"""The body of a deletion in the log: one JSON object that says which events to retract.

The gateway has resolved the customer before, so what it names means the same whenever the log is read again.
"""

import msgspec

from metering.retraction import Retraction
from metering.world import World


class DeletionError(ValueError):
    """The body is no deletion."""


class _Body(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    # A condition that is not understood must not be passed over: the deletion would take more than was asked.
    event_type: str | None = None
    customer_ids: list[str] | None = None
    record_ids: list[str] | None = None


def encode(retraction: Retraction) -> bytes:
    """Give the body of a section of kind DELETION; the world stands in the section's head."""
    return msgspec.json.encode(
        _Body(
            event_type=retraction.event_type,
            customer_ids=None if retraction.customer_ids is None else list(retraction.customer_ids),
            record_ids=None if retraction.record_ids is None else list(retraction.record_ids),
        )
    )


def decode(world: World, body: bytes) -> Retraction:
    """Read what `encode` gave.

    Raises:
        DeletionError: it is none, or it has a condition that this release does not know.
    """
    try:
        found = msgspec.json.decode(body, type=_Body)
    except msgspec.MsgspecError as error:
        raise DeletionError(str(error)) from error
    return Retraction(world, found.event_type, found.customer_ids, found.record_ids)
