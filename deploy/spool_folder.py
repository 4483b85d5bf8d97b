"""Which spool an installation has, so that none with events in it is forgotten.

`data/spool_dir` names the folder of the last start. When another is set, or none, what the old one holds would never be
counted; so such a start is refused until it is empty.
"""

from pathlib import Path

from ingest.log.local.appender import Appender
from ingest.log.local.files import DISK
from ingest.log.local.folder import LOG_ID, write_whole
from ingest.log.spool.cursor import written

_REMEMBERED = "spool_dir"


class SpoolLeftError(Exception):
    """Events wait in a spool that is not set any more; the message is one clear line."""


def remember_spool(data_dir: Path, spool_dir: Path | None) -> None:
    """Note the spool of this start.

    Raises:
        SpoolLeftError: an earlier start had another, and it still holds events.
        IngestError: the earlier one is in use or damaged.
        OSError: a folder cannot be used.
    """
    note = data_dir / _REMEMBERED
    earlier = Path(note.read_text(encoding="utf-8").rstrip("\n")) if note.exists() else None
    if earlier is not None and earlier != spool_dir and (events := _events_in(earlier)):
        raise SpoolLeftError(
            f"the spool {earlier} of an earlier start holds {events} events: set METERLINE_SPOOL_DIR to it until they "
            "are in the log (GET /metrics: meterline_spool_events)"
        )
    if spool_dir is not None:
        spool_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if earlier != spool_dir:
            write_whole(note, f"{spool_dir}\n".encode())
    else:
        note.unlink(missing_ok=True)


def _events_in(folder: Path) -> int:
    if not (folder / LOG_ID).exists():
        return 0
    appender = Appender.open(folder, 1 << 40, lambda: 0, DISK)
    try:
        return appender.end.events - written(folder, appender.end).events
    finally:
        appender.close()
