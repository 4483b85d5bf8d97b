"""The HTTP front of the engine as a process of its own, which a test may kill, stall and start again."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote

START_S_MAX = 300
SCRIPT = Path(__file__).with_name("server.py")
TIED = ("setpriv", "--pdeathsig", "KILL")
"""It goes with the thread that started it, so that none outlives a test run that was killed."""
USER, PASSWORD = "meterline", "p@ss/wörd:1"
"""A password that has to be quoted in a URL."""


class ClickHouse:
    """One process on a folder of its own; to be used as a context manager."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="clickhouse-"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = None

    @property
    def url(self):
        """What the product is told."""
        return f"http://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/default"

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        """Start it on the data it had, and wait until it answers."""
        self.launch()
        deadline = time.monotonic() + START_S_MAX
        while not self._answers():
            assert self.process.poll() is None, f"it ended:\n{(self.folder / 'out').read_text()[-2000:]}"
            assert time.monotonic() < deadline, "the store does not answer"
            time.sleep(0.05)
        return self

    def launch(self):
        """Start it; it answers later."""
        with (self.folder / "out").open("ab") as output:
            self.process = subprocess.Popen(
                [*TIED, sys.executable, str(SCRIPT), str(self.folder / "data"), str(self.port), USER, PASSWORD],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the tests, which end what they began.
            )

    def kill(self):
        """kill -9."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def seen(self):
        """What requests came in lately: sizes of URL and body, and the names of the URL's parameters."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/seen") as answer:
            return json.loads(answer.read())

    def _answers(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ping", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False
