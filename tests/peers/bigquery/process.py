"""The stand-in for BigQuery as a process, which a test may kill and start again; what it holds goes with it."""

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
PROJECT = "acme-usage"


class BigQuery:
    """One process; to be used as a context manager."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="bigquery-"))
        self.port = free_port()
        self.process = None
        self.private_key, public_key = new_key()
        (self.folder / "key.pem").write_bytes(public_key)

    @property
    def endpoint(self):
        """What the product is told to reach in place of Google."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def credentials(self):
        """A service account's key, as Google gives it out, and where to go with it."""
        return {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "1",
            "private_key": self.private_key,
            "client_email": f"meterline@{PROJECT}.iam.gserviceaccount.com",
            "client_id": "1",
            "token_uri": f"{self.endpoint}/token",
            "universe_domain": "googleapis.com",
            "api_endpoint": self.endpoint,
        }

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        """Start it, empty, and wait until it answers."""
        command = [*TIED, str(peer_python()), str(SCRIPT), str(self.port), str(self.folder / "key.pem")]
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
            assert time.monotonic() < deadline, "the stand-in for BigQuery does not answer"
            time.sleep(0.05)
        return self

    def kill(self):
        """kill -9."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def run(self, *statements):
        """Run statements as its owner would, in the dialect of the engine behind it, which is DuckDB's."""
        self._post("run", statements)

    def refuse(self, *statuses):
        """Have the next requests answered with these."""
        self._post("refuse", statuses)

    def forgive(self):
        """Answer again."""
        self._post("refuse", [])

    def seen(self):
        """Give what requests came in since it was last asked: [method, path, query], and configurations of jobs."""
        with urllib.request.urlopen(f"{self.endpoint}/seen") as answer:
            return json.loads(answer.read())

    def running(self):
        """Give how many jobs are under way."""
        with urllib.request.urlopen(f"{self.endpoint}/running") as answer:
            return json.loads(answer.read())

    def _post(self, path, body):
        with urllib.request.urlopen(f"{self.endpoint}/{path}", data=json.dumps(body).encode()) as answer:
            answer.read()

    def _answers(self):
        try:
            self.seen()
        except (urllib.error.URLError, OSError):
            return False
        return True
