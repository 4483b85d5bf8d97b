"""Copy a log, running or not, as segments of an archive: from its first offset to at least where it was durable.

A segment that is archived and unlinked meanwhile is found in the archive at the next look, so nothing is missed.
"""

from collections.abc import Callable
from pathlib import Path

from deploy.backup.manifest import BackupError, copy_file
from ingest.log.archive.folder import Archived, archived, path_of
from ingest.log.archive.segment import archive_segment, frames, unpack
from ingest.log.frames import Head
from ingest.log.local.folder import first_offsets
from ingest.log.local.trimmed import Trimmed
from ingest.log.waiting import End

_LOOKS_MAX = 100


def copy_log(log: Path, archive: Path, end: int, target: Path, progress: Callable[[int, int], None]) -> Trimmed:
    """Copy the offsets `[0, end)`, some more where a segment has them; give where the copy ends.

    Raises:
        BackupError: the log does not go back to its beginning.
        LogCorruptError: a segment is damaged.
    """
    reached = 0
    looks = 0
    while reached < end:
        segment = _archived_from(archive, reached)
        if segment is not None:
            copied = path_of(target, segment.first, segment.next)
            copy_file(segment.path, copied)
            unpack(Archived(segment.first, segment.next, copied), target).file.close()
            reached, looks = segment.next, 0
        else:
            firsts = first_offsets(log)
            following = next((first for first in firsts if first > reached), end)
            try:
                if reached in firsts:
                    archive_segment(log, reached, min(following, end), target)
                    reached, looks = min(following, end), -1
            except FileNotFoundError:
                pass  # It went into the archive while we looked.
            looks += 1
            if looks > _LOOKS_MAX:
                raise BackupError(_gap(reached, firsts))
        progress(reached, end)
    head = _last_head(target)
    return Trimmed(End(head.offset + 1, head.events_before + head.events), head.appended_at_us) if head else _NOTHING


_NOTHING = Trimmed(End(0, 0), 0)


def _archived_from(archive: Path, offset: int) -> Archived | None:
    return next((segment for segment in archived(archive) if segment.first == offset), None)


def _last_head(target: Path) -> Head | None:
    copied = archived(target)
    if not copied:
        return None
    last = unpack(copied[-1], target)
    with last.file as file:
        offset, at = last.places[-1]
        *_, head = (head for head, _, _ in frames(file, copied[-1].path, offset, at))
        return head


def _gap(offset: int, firsts: list[int]) -> str:
    return (
        f"offset {offset} is neither in the log, which begins at {firsts[0]}, nor in its archive: the store could not "
        "be derived from such a backup. Put the archive back (METERLINE_LOG_ARCHIVE_DIR), or stop Meterline and copy "
        "its data folder"
    )
