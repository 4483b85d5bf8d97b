"""A real PostgreSQL on this machine: one process that a test may kill, stall and start again.

Nothing is kept: the folder goes with the test. It listens on a free port of 127.0.0.1 alone; every user but `locked` is
let in without a password.
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

import psycopg

from tests.peers.kafka.jars import PeerMissingError

BINARIES = Path("/usr/lib/postgresql")
USER = "meterline"
LOCKED_USER = "locked"
START_S_MAX = 60
STOP_S_MAX = 30
TIED = ("setpriv", "--pdeathsig", "QUIT")
"""It goes with the thread that started it, so none outlives a test run that was killed; QUIT stops it at once."""
UNPRIVILEGED = 65_534
"""PostgreSQL refuses to run as root: then it runs as nobody."""

RULES = f"""\
host all {LOCKED_USER} 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""
SETTINGS = """\
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
shared_buffers = 32MB
max_wal_size = 128MB
wal_init_zero = off
lc_messages = 'C'
"""


class Postgres:
    """One server, ready to be used as a context manager."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))
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
        if self.process is not None and self.process.poll() is None:
            self.go_on()
            self._end(signal.SIGQUIT)  # What it holds goes with the folder.
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database="postgres", user=USER, password=None):
        """Give the address of a database, as the product and drivers take it."""
        secret = "" if password is None else f":{password}"
        return f"postgresql://{user}{secret}@127.0.0.1:{self.port}/{database}"

    def run(self, *statements, database="postgres"):
        """Run statements as the superuser, each by itself."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def database(self, template="template0"):
        """Make a fresh database, a copy of `template`, to which nobody may be connected; give its name."""
        name = f"test_{os.getpid()}_{next(self._names)}"
        self.run(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop(self, database):
        """Drop a database; whoever is connected to it is cut off."""
        self.run(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def start(self):
        """Start it, on the data it had, and wait until it answers."""
        with (self.folder / "out").open("ab") as output:
            self.process = subprocess.Popen(
                [*TIED, _program("postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd="/",
                **_identity(),
            )
        deadline = time.monotonic() + START_S_MAX
        while True:
            assert self.process.poll() is None, f"PostgreSQL ended:\n{(self.folder / 'out').read_text()[-2000:]}"
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.url(), connect_timeout=2).close()
                return
            assert time.monotonic() < deadline, "PostgreSQL does not answer"
            time.sleep(0.05)

    def kill(self):
        """kill -9; its workers leave when they notice."""
        if self.process is not None and self.process.poll() is None:
            self.go_on()
            self.process.kill()
            self.process.wait()

    def stop(self):
        """Stop it in order, cutting off whoever is connected."""
        self._end(signal.SIGINT)

    def stall(self):
        """Hold it still: no new connection is answered (SIGSTOP)."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        """Let it go on: SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def _end(self, number):
        self.process.send_signal(number)
        try:
            self.process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()

    def _initialise(self):
        data = self.folder / "data"
        if os.getuid() == 0:
            os.chown(self.folder, UNPRIVILEGED, UNPRIVILEGED)
        command = [_program("initdb"), "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]
        done = subprocess.run(
            [*command, "--no-sync"], capture_output=True, text=True, check=False, cwd="/", **_identity()
        )
        if done.returncode:
            raise PeerMissingError(f"PostgreSQL's folder cannot be made: {(done.stdout + done.stderr)[-300:]}")
        (data / "pg_hba.conf").write_text(RULES)
        with (data / "postgresql.conf").open("a") as settings:
            settings.write(SETTINGS)


def _program(name):
    found = sorted(BINARIES.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3].partition(".")[0]))
    if not found:
        raise PeerMissingError(f"{BINARIES}/*/bin/{name} is missing: sh deploy/setup.sh test")
    return str(found[-1])


def _identity():
    if os.getuid() != 0:
        return {}
    return {"user": UNPRIVILEGED, "group": UNPRIVILEGED, "extra_groups": []}


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
