"""The stand-in for Snowflake as a process, which a test may kill and start again; what it holds goes with it."""

import json
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.peers.keys import new_key
from tests.peers.ports import free_port
from tests.peers.snowflake.programs import peer_python

START_S_MAX = 300
SCRIPT = Path(__file__).with_name("server.py")
TIED = ("setpriv", "--pdeathsig", "KILL")
"""It goes with the thread that started it, so that none outlives a test run that was killed."""
USER, PASSWORD = "METERLINE", "p@ss'wörd"


class Snowflake:
    """One process; to be used as a context manager."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="snowflake-"))
        self.port = free_port()
        self.process = None
        self.private_key, public_key = new_key()
        (self.folder / "key.pem").write_bytes(public_key)

    @property
    def credentials(self):
        """What the product is told."""
        reached = {"host": "127.0.0.1", "port": self.port, "protocol": "http"}
        names = {"warehouse": "LOADING", "database": "USAGE", "schema": "PUBLIC", "role": "READER"}
        return {"account": "acme", "user": USER, "password": PASSWORD, **names, **reached}

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        """Start it, empty, and wait until it answers."""
        command = [*TIED, str(peer_python()), str(SCRIPT), str(self.port), USER, PASSWORD, str(self.folder / "key.pem")]
        with (self.folder / "out").open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the tests, which end what they began.
            )
        deadline = time.monotonic() + START_S_MAX
        while not self._answers():
            assert self.process.poll() is None, f"it ended:\n{(self.folder / 'out').read_text()[-2000:]}"
            assert time.monotonic() < deadline, "the stand-in for Snowflake does not answer"
            time.sleep(0.05)
        return self

    def kill(self):
        """kill -9."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def run(self, *statements):
        """Run statements as its owner would."""
        body = json.dumps(statements).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/run", data=body) as answer:
            assert answer.status == 200, answer.read()

    def seen(self):
        """Give what logins and statements came in since it was last asked."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/seen") as answer:
            return json.loads(answer.read())

    def tell_parts_at(self, host):
        """Name this host in addresses of parts of results."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/parts", data=json.dumps(host).encode()) as answer:
            answer.read()

    def running(self):
        """Give how many statements are under way."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/running") as answer:
            return json.loads(answer.read())

    def _answers(self):
        try:
            self.seen()
        except (urllib.error.URLError, OSError):
            return False
        return True
