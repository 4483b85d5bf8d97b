"""The data folder: made private, and held by one start at a time.

The lock is inherited by every part, so it is free only when the last part of an earlier start is gone, also when its
supervisor was killed: two engines on one folder are impossible.
"""

import fcntl
import os
import time
from pathlib import Path

ORPHANS_WAIT_S_MAX = 20.0
"""How long parts of a supervisor that died may take to notice and leave."""


class DataDirError(Exception):
    """The data folder cannot be used; the message is one clear line."""


def hold(data_dir: Path) -> int:
    """Make the folder and take its lock; gives the file descriptor that holds it, inheritable.

    Raises:
        DataDirError: the folder cannot be written, or another start uses it.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DataDirError(
            f"the data folder {data_dir} cannot be used: {error.strerror}; set METERLINE_DATA_DIR to one that can"
        ) from None
    deadline = time.monotonic() + ORPHANS_WAIT_S_MAX
    while not _try(lock):
        holder = _holder(lock)
        if holder is not None and _alive(holder):
            os.close(lock)
            raise DataDirError(
                f"the data folder {data_dir} is in use by another Meterline (process {holder}): stop that one, "
                "or set METERLINE_DATA_DIR to another folder"
            )
        if time.monotonic() > deadline:
            os.close(lock)
            raise DataDirError(f"parts of an earlier Meterline still hold {data_dir}: stop them, then start again")
        time.sleep(0.1)
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    os.set_inheritable(lock, True)
    return lock


def _try(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(lock: int) -> int | None:
    text = os.pread(lock, 20, 0)
    return int(text) if text.isdigit() else None


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
