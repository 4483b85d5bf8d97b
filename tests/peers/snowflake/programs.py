"""The Python that the stand-ins for warehouses run on: made from a lock of its own once, kept for later runs."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.peers.kafka.jars import PeerMissingError, peers_dir

LOCK = Path(__file__).with_name("requirements.lock")
INSTALL_S_MAX = 600


def peer_python():
    """Give the interpreter, installing its packages at the first call on this machine."""
    wanted = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = peers_dir() / "warehouses" / wanted
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Several test processes begin at once.
        if not (folder / "whole").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _run("no environment could be made", sys.executable, "-m", "venv", folder)
            pip = (folder / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check")
            _run("is the package index reachable?", *pip, "--require-hashes", "--only-binary=:all:", "-r", LOCK)
            (folder / "whole").touch()
    return folder / "bin" / "python"


def _run(remedy, *command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S_MAX, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise PeerMissingError(f"what the stand-ins for warehouses run on is missing: {remedy}: {''.join(said[-1:])}")
