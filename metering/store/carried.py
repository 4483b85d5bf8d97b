"""What a store knows that its log does not: carried over when the store is derived again.

When a batch became visible (`applied`, for figures as of a moment) and which dead letters were replayed. Both are kept
as one Parquet file each.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from metering.position import Cutoff
from metering.store.client import Store

TABLES = {"applied": "lane, position, committed_at", "dead_letter_replays": "position, replayed_at"}


def export(store: Store, folder: Path) -> None:
    """Write the files; a crash leaves some of them."""
    for table, columns in TABLES.items():
        pq.write_table(store.look_up(f"SELECT {columns} FROM {table}"), file_of(folder, table))  # noqa: S608


def file_of(folder: Path, table: str) -> Path:
    """Name the file of a table."""
    return folder / f"{table}.parquet"


def take_over(store: Store, folder: Path, reached: Cutoff) -> None:
    """Put the rows of the files into a store that is applied up to `reached`, in place of its own marks.

    Marks beyond what is reached are left out; where the files' marks of a lane end, the store's own go on. To be called
    again after a crash: the store may be left without marks, which whoever fills it sees.
    """
    marks = file_of(folder, "applied")
    if marks.exists():
        own = store.look_up(f"SELECT {TABLES['applied']} FROM applied")  # noqa: S608
        merged = _merged(pq.read_table(marks), own, reached)
        store.command("TRUNCATE TABLE applied")
        store.insert("applied", merged)
    replays = file_of(folder, "dead_letter_replays")
    if replays.exists() and len(rows := pq.read_table(replays)):
        store.insert("dead_letter_replays", rows)


def _merged(carried: pa.Table, own: pa.Table, reached: Cutoff) -> pa.Table:
    parts = []
    for lane, bound in reached.bounds.items():
        of_lane = pc.equal(carried.column("lane"), lane)
        kept = carried.filter(
            pc.and_(of_lane, pc.less_equal(carried.column("position"), pa.scalar(bound, pa.uint64())))
        )
        last = pc.max(kept.column("position")).as_py() if len(kept) else -1
        mine = own.filter(pc.equal(own.column("lane"), lane))
        if last >= 0:
            mine = mine.filter(pc.greater(mine.column("position"), pa.scalar(last, pa.uint64())))
        parts += [kept, mine.cast(kept.schema)]
    return pa.concat_tables(parts)
