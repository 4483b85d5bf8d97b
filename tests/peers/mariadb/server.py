"""A real MariaDB on this machine: one process that a test may kill, stall and start again.

Nothing is kept: the folder goes with the test. It listens on a free port of 127.0.0.1 alone; `root` has every right and
no password.
"""

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pymysql

from tests.peers.kafka.jars import PeerMissingError

USER = "root"
START_S_MAX = 120
TIED = ("setpriv", "--pdeathsig", "KILL")
"""It goes with the thread that started it, so none outlives a test run that was killed."""
UNPRIVILEGED = 65_534
"""MariaDB refuses to run as root: then it runs as nobody."""
PATHS = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"

INITIALISE = ("--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
SERVE = (
    "--no-defaults",
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=32M",
    "--innodb-flush-log-at-trx-commit=0",
    "--max-allowed-packet=256M",
    "--secure-file-priv=",
    "--event-scheduler=OFF",
)


class MariaDb:
    """One server, with more options if there are any, ready to be used as a context manager."""

    def __init__(self, *options):
        self.options = options
        self.folder = Path(tempfile.mkdtemp(prefix="mariadb-"))
        self.port = _free_port()
        self.process = None
        self._names = itertools.count(1)

    def __enter__(self):
        try:
            self._initialise()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.kill()  # What it holds goes with the folder.
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database="", user=USER, password=None):
        """Give the address of a database, as the product takes it."""
        secret = "" if password is None else f":{password}"
        return f"mysql://{user}{secret}@127.0.0.1:{self.port}/{database}"

    def connect(self, database=None):
        """Connect with every right."""
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user=USER, database=database, charset="utf8mb4", autocommit=True
        )

    def run(self, *statements, database=None):
        """Run statements with every right, each by itself; give the rows of the last one."""
        rows = ()
        with self.connect(database) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
                rows = cursor.fetchall()
        return rows

    def database(self):
        """Make a fresh database; give its name."""
        name = f"test_{os.getpid()}_{next(self._names)}"
        self.run(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        return name

    def start(self):
        """Start it, on the data it had, and wait until it answers."""
        with (self.folder / "out").open("ab") as output:
            self.process = subprocess.Popen(
                [
                    *(*TIED, _program("mariadbd"), *SERVE),
                    *(f"--datadir={self.folder}/data", f"--port={self.port}", f"--socket={self.folder}/socket"),
                    *(f"--pid-file={self.folder}/pid", *self.options),
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd="/",
                **_identity(),
            )
        deadline = time.monotonic() + START_S_MAX
        while True:
            assert self.process.poll() is None, f"MariaDB ended:\n{(self.folder / 'out').read_text()[-2000:]}"
            with contextlib.suppress(pymysql.Error):
                self.connect().close()
                return
            assert time.monotonic() < deadline, "MariaDB does not answer"
            time.sleep(0.05)

    def kill(self):
        """kill -9."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stall(self):
        """Hold it still: nothing is answered (SIGSTOP)."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        """Let it go on: SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def _initialise(self):
        if os.getuid() == 0:
            os.chown(self.folder, UNPRIVILEGED, UNPRIVILEGED)
        done = subprocess.run(
            [_program("mariadb-install-db"), *INITIALISE, f"--datadir={self.folder}/data"],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            **_identity(),
        )
        if done.returncode:
            raise PeerMissingError(f"MariaDB's folder cannot be made: {(done.stdout + done.stderr)[-300:]}")


def _program(name):
    found = shutil.which(name, path=PATHS)
    if not found or not shutil.which("my_print_defaults", path=PATHS):
        raise PeerMissingError(f"{name} or my_print_defaults is missing: sh deploy/setup.sh test")
    return found


def _identity():
    if os.getuid() != 0:
        return {}
    return {"user": UNPRIVILEGED, "group": UNPRIVILEGED, "extra_groups": []}


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
