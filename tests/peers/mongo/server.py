"""A server of MongoDB's protocol on this machine (mongo-java-server): one process that a test may kill and start again.

It holds everything in memory, so what it had is gone when it was killed. It knows no users.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from pymongo import MongoClient

from tests.peers.kafka.jars import PeerMissingError, jars, kept

HERE = Path(__file__).parent
COMPILER = ("java", "-m", "jdk.compiler/com.sun.tools.javac.Main")
"""It comes with the runtime; the program `javac` would not."""
JAVA = ("java", "-Xms64m", "-Xmx2g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
START_S_MAX = 120
COMPILE_S_MAX = 300
TIED = ("setpriv", "--pdeathsig", "KILL")
"""It goes with the thread that started it, so none outlives a test run that was killed."""


class Mongo:
    """One server, ready to be used as a context manager; with `tls`, for the name localhost, by the authority `ca`."""

    def __init__(self, *, tls=False):
        self.folder = Path(tempfile.mkdtemp(prefix="mongo-"))
        self.port = free_port()
        self.process = None
        self.ca = _make_certificate(self.folder) if tls else None

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

    def url(self, database, **options):
        """Give the address of a database."""
        asked = "&".join(f"{name}={value}" for name, value in options.items())
        return f"mongodb://{'localhost' if self.ca else '127.0.0.1'}:{self.port}/{database}" + (
            f"?{asked}" * bool(asked)
        )

    @contextlib.contextmanager
    def client(self):
        """Give a client that may do anything."""
        secure = {"tls": True, "tlsCAFile": str(self.ca)} if self.ca else {}
        with MongoClient(self.url(""), **secure) as opened:
            yield opened

    def cursors(self):
        """Give how many results it holds for somebody."""
        with self.client() as client:
            return client.admin.command("serverStatus")["metrics"]["cursor"]["open"]["total"]

    def start(self):
        """Start it, empty, and wait until it listens."""
        classes, libraries = _compiled()
        secure = [str(self.folder / "key.der"), str(self.ca)] if self.ca else []
        with (self.folder / "out").open("wb") as output:
            self.process = subprocess.Popen(
                [*TIED, *JAVA, QUIET, "-cp", f"{classes}:{libraries}/*", "Peer", str(self.port), *secure],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the tests, which end what they began.
            )
        wait_until(lambda: "listening" in (self.folder / "out").read_text(), self.process, self.folder / "out")

    def kill(self):
        """kill -9."""
        if self.process is not None and self.process.poll() is None:
            self.go_on()
            self.process.kill()
            self.process.wait()

    def stall(self):
        """Hold it still, connections open: SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        """Let it go on: SIGCONT."""
        self.process.send_signal(signal.SIGCONT)


def wait_until(up, process, output):
    """Return once `up()` holds of a process that was started."""
    deadline = time.monotonic() + START_S_MAX
    while not up():
        assert process.poll() is None, f"it ended:\n{output.read_text()[-2000:]}"
        assert time.monotonic() < deadline, "it does not listen"
        time.sleep(0.05)


def free_port():
    """Give a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _compiled():
    libraries = jars("mongo", HERE / "pom.xml")
    source = HERE / "Peer.java"

    def compile_into(folder):
        path = os.pathsep.join(map(str, libraries.glob("*.jar")))
        command = [*COMPILER, "-d", folder, "-cp", path, source]
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_S_MAX, check=False)
        if done.returncode:
            raise PeerMissingError(f"the MongoDB peer cannot be compiled: {(done.stdout + done.stderr)[:300]}")

    return kept("mongo-launcher", source.read_bytes() + libraries.name.encode(), compile_into), libraries


def _make_certificate(folder):
    """Make a certificate for localhost that is its own authority; gives its file."""
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    new += ["-keyout", "key.pem", "-out", "ca.pem", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(new, cwd=folder, check=True, capture_output=True)
    turned = ["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", "key.pem", "-outform", "DER", "-out", "key.der"]
    subprocess.run(turned, cwd=folder, check=True, capture_output=True)
    return folder / "ca.pem"
