"""FerretDB on this machine: users with passwords, results in batches, data on disk that outlives kill -9.

It is built from its published module by Go once, and kept. Where Go is not installed, or too old, it is not to be had:
what it shows beyond the other peer is then not shown.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.peers.kafka.jars import PeerMissingError, kept
from tests.peers.mongo.server import TIED, free_port, wait_until

VERSION = "v1.24.2"
MODULE = f"github.com/FerretDB/FerretDB@{VERSION}"
GO_MIN = (1, 24)
BUILD_S_MAX = 1200
DATABASE, USER, PASSWORD = "shop", "reader", "r1ght-passw0rd"


def is_to_be_had():
    """Tell whether Go is installed, and new enough for FerretDB."""
    if shutil.which("go") is None:
        return False
    told = subprocess.run(
        ["go", "env", "GOVERSION"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "GOTOOLCHAIN": "local"},
    )
    version = re.match(r"go(\d+)\.(\d+)", told.stdout)
    return version is not None and (int(version[1]), int(version[2])) >= GO_MIN


class FerretDb:
    """One server with one user, ready to be used as a context manager."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="ferretdb-"))
        self.port = free_port()
        self.process = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, password=PASSWORD):
        """Give the address of its database, by its user."""
        return f"mongodb://{USER}:{password}@127.0.0.1:{self.port}/{DATABASE}"

    @contextlib.contextmanager
    def client(self):
        """Give a client by its user."""
        with MongoClient(self.url(), serverSelectionTimeoutMS=2000) as opened:
            yield opened

    def start(self):
        """Start it on the data it had, and wait until it lets its user in."""
        command = [*TIED, _built() / "ferretdb", "--handler=sqlite", f"--sqlite-url=file:{self.folder}/"]
        command += [f"--state-dir={self.folder}", f"--listen-addr=127.0.0.1:{self.port}", "--debug-addr=-"]
        command += ["--telemetry=disable", "--log-level=error", "--test-enable-new-auth"]
        command += [f"--setup-database={DATABASE}", f"--setup-username={USER}", f"--setup-password={PASSWORD}"]
        output = self.folder / "out"
        with output.open("wb") as written:
            self.process = subprocess.Popen(
                command, stdout=written, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
            )
        wait_until(self._answers, self.process, output)

    def kill(self):
        """kill -9."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _answers(self):
        with contextlib.suppress(PyMongoError), self.client() as client:
            client[DATABASE].command("ping")
            return True
        return False


def _built():
    def build_into(folder):
        told = _run(["go", "mod", "download", "-json", MODULE], folder)
        source = folder / "source"
        shutil.copytree(json.loads(told)["Dir"], source)
        for path in (source, *source.rglob("*")):
            path.chmod(path.stat().st_mode | 0o200)
        (source / "build" / "version" / "version.txt").write_text(VERSION)  # It refuses to start without.
        _run(["go", "build", "-p", "1", "-o", folder / "ferretdb", "./cmd/ferretdb"], source)
        shutil.rmtree(source)

    return kept("ferretdb", VERSION.encode(), build_into)


def _run(command, folder):
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=BUILD_S_MAX, check=False
    )
    if done.returncode:
        raise PeerMissingError(f"FerretDB cannot be built: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout
