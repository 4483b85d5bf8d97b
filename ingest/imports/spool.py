"""The folder where uploaded files wait until their events are in the log.

A file gets its name only when all of it is on the disk; its job is made after that. So a job always has its file, and
what a crash leaves behind is a file without a job, which the next start sweeps away.

Processes may share the folder (over NFS too, whose locks hold for `flock`): each holds `.users` as long as it lives, so
that nobody sweeps away what another is just receiving, and one of them at a time holds `.worker` and works jobs off.
"""

import fcntl
import os
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO


class Spool:
    """One folder. All methods block, none for long but `keep`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._users = -1
        self._worker = -1

    def enter(self) -> bool:
        """Make the folder and begin to use it; tell whether nobody else does, who then stays out until `stay`."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._users = self._open_lock(".users")
        if _locked(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB):
            return True
        fcntl.flock(self._users, fcntl.LOCK_SH)
        return False

    def sweep(self, wanted: Collection[str]) -> None:
        """Remove every file whose job is not wanted. Only for who is alone: jobs are made after their files."""
        names = {f"{job_id}.csv" for job_id in wanted}
        for path in self._folder.iterdir():
            if path.suffix in {".csv", ".part"} and path.name not in names:
                path.unlink(missing_ok=True)

    def stay(self) -> None:
        """Let others use the folder too."""
        fcntl.flock(self._users, fcntl.LOCK_SH)

    def claim(self) -> bool:
        """Try to become the one who works off the jobs whose files lie here; it ends with `give_up` or the process."""
        if self._worker < 0:
            self._worker = self._open_lock(".worker")
        return _locked(self._worker, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def give_up(self) -> None:
        """Let another work jobs off."""
        if self._worker >= 0:
            os.close(self._worker)
            self._worker = -1

    def close(self) -> None:
        """Use the folder no longer."""
        self.give_up()
        if self._users >= 0:
            os.close(self._users)
            self._users = -1

    def holds(self, job_id: str) -> bool:
        """Tell whether the file of a job lies here, whole."""
        return self.path_of(job_id).exists()

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

    def _open_lock(self, name: str) -> int:
        return os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _unfinished(self, job_id: str) -> Path:
        return self._folder / f"{job_id}.part"


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        return False
    return True
