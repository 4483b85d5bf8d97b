"""Where the sockets of a running installation lie: in its data folder, unless that path is too long for a socket."""

import os
import tempfile
from pathlib import Path

from ingest.log.local.folder import write_whole

SOCKET_PATH_BYTES_MAX = 91  # Linux takes 107; some are bound under a longer name first.
_ELSEWHERE = "elsewhere"


def make_run_dir(data_dir: Path) -> tuple[Path, bool]:
    """Give the folder, and whether it has to be removed at the end; where it is can be found by `run_dir_of`."""
    inside = data_dir / "run"
    inside.mkdir(mode=0o700, exist_ok=True)
    if len(os.fsencode(inside / "spool.sock")) <= SOCKET_PATH_BYTES_MAX:
        (inside / _ELSEWHERE).unlink(missing_ok=True)
        return inside, False
    outside = Path(tempfile.mkdtemp(prefix="meterline-"))
    write_whole(inside / _ELSEWHERE, f"{outside}\n".encode())
    return outside, True


def run_dir_of(data_dir: Path) -> Path:
    """Give the folder that the installation uses, or used last."""
    inside = data_dir / "run"
    try:
        return Path((inside / _ELSEWHERE).read_text().removesuffix("\n"))
    except FileNotFoundError:
        return inside
