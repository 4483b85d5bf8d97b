"""The folder where uploaded files wait until their events are in the log.

A file gets its name only when all of it is on the disk; its job is made after that. So a job always has its file, and
what a crash leaves behind is a file without a job, which the next start sweeps away.
"""

import os
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO


class Spool:
    """One folder, used by one process at a time. All methods block, none for long but `keep`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def sweep(self, wanted: Collection[str]) -> None:
        """Make the folder, and remove every file whose job is not wanted; before any upload begins."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = {f"{job_id}.csv" for job_id in wanted}
        for path in self._folder.iterdir():
            if path.name not in names:
                path.unlink(missing_ok=True)

    def path_of(self, job_id: str) -> Path:
        """Where the file of a job lies."""
        return self._folder / f"{job_id}.csv"

    def begin(self, job_id: str) -> BinaryIO:
        """Open a new file to write an upload to."""
        return self._unfinished(job_id).open("xb")

    def keep(self, job_id: str, file: BinaryIO) -> None:
        """Make what was written durable under the job's name."""
        file.flush()
        os.fsync(file.fileno())
        file.close()
        self._unfinished(job_id).rename(self.path_of(job_id))
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def drop(self, job_id: str) -> None:
        """Remove the file of a job, finished or not, if it is there."""
        self._unfinished(job_id).unlink(missing_ok=True)
        self.path_of(job_id).unlink(missing_ok=True)

    def _unfinished(self, job_id: str) -> Path:
        return self._folder / f"{job_id}.part"
