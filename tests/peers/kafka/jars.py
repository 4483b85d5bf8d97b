"""Where the jars of peers are: fetched through Maven once, kept for every later run."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

POM = Path(__file__).parent / "pom.xml"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
FETCH_S_MAX = 300


class PeerMissingError(Exception):
    """A peer cannot be started here; the message is one clear line. A test that needs it fails: it never skips."""


def peers_dir():
    """The folder that is kept between runs."""
    return Path(os.environ.get("METERLINE_PEERS_DIR") or Path.home() / ".cache" / "meterline-peers")


def kafka_jars():
    """Give the folder of the broker's jars."""
    return jars("kafka", POM)


def jars(name, pom):
    """Give the folder of a peer's jars, fetching them at the first call on this machine."""
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            raise PeerMissingError(f"{program} is missing, which runs the peer {name}: sh deploy/setup.sh test")
    return kept(name, pom.read_bytes(), lambda folder: _fetch(name, pom, folder))


def kept(name, made_from, make):
    """Give a folder that is kept between runs, made (`make(folder)`) when it is not there or was made from else."""
    folder = peers_dir() / name / hashlib.sha256(made_from).hexdigest()[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Several test processes begin at once.
        if not folder.exists():
            partial = folder.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            make(partial)
            partial.rename(folder)
    return folder


def _fetch(name, pom, folder):
    command = ["mvn", "-q", "-B", "-f", pom, COPY, "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_S_MAX, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise PeerMissingError(f"Maven could not fetch the peer {name}: {said[0] if said else done.returncode}")
