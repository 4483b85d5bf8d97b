"""Match the partitions of a log to the lanes of the store, and say where in a log a cut-off lies."""

from collections.abc import Mapping

from ingest.consumer.seams import Lanes
from ingest.errors import LogMismatchError, LogUnavailableError
from ingest.log.chain import open_partitions_of, origins_of
from ingest.log.protocol import LogReader
from metering.position import Cutoff, last_of_message, offset_of


async def lanes_of(log: LogReader, lanes: Lanes) -> dict[int, int]:
    """Give the lane of each partition.

    Raises:
        LogMismatchError: the store was filled from another log.
        LogUnavailableError: the log does not answer; call again.
    """
    partitions = sorted(await log.ends())
    origins = origins_of(log, partitions)
    lane_of = {}
    for partition in partitions:  # Older logs first: a later one's lanes are higher.
        origin = origins[partition]
        older = (origin.older,) if origin.older else ()
        lane_of[partition] = await lanes.lane_of(origin.log_id, origin.partition, *older)
    return lane_of


async def next_offsets(log: LogReader, lane_of: Mapping[int, int], applied: Cutoff) -> dict[int, int]:
    """Give, for each partition, the first offset that is not applied.

    Raises:
        LogMismatchError: the log ends before what is applied.
        LogUnavailableError: the log does not answer; call again.
    """
    ends = await log.ends()
    offsets = {}
    for partition, lane in lane_of.items():
        bound = applied.bounds.get(lane)
        offsets[partition] = 0 if bound is None else offset_of(bound) + 1
        end = ends[partition]
        if offsets[partition] > end:
            raise LogMismatchError(
                f"the store has applied offset {offsets[partition] - 1} of partition {partition} of log {log.log_id}, "
                f"but that ends at {end}: put back the log that belongs to this store"
            )
    return offsets


async def share_now(log: LogReader, owned: frozenset[int], applied: Mapping[int, int]) -> frozenset[int]:
    """Give the partitions, of those that this process owns, that it may read now; `applied` gives all next offsets.

    A log's successor is begun when all of it is applied, by whichever consumers: a key may have moved to a partition
    that another one owns. Whoever begins it then starts anew, with what those have applied. None may be left to read:
    then the rest is others'.

    Raises:
        LogUnavailableError: what is ours may be read only after others have applied theirs; call again.
    """
    if unknown := owned - applied.keys():
        raise LogUnavailableError(f"partitions {sorted(unknown)} of the log are not known here yet")
    readable = await open_partitions_of(log, applied)
    mine = owned & readable
    if not mine and max(owned) > max(readable):
        raise LogUnavailableError(
            f"partitions {sorted(readable)} of the older log are being applied by other consumers"
        )
    return mine


async def accepted(log: LogReader, lane_of: Mapping[int, int]) -> Cutoff:
    """Give the cut-off that sees everything the log has accepted by now.

    Raises:
        LogUnavailableError: the log does not answer; call again.
    """
    ends = await log.ends()
    return Cutoff(
        {lane: last_of_message(lane, ends[partition] - 1) for partition, lane in lane_of.items() if ends[partition] > 0}
    )
