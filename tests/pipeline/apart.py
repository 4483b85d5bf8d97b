"""The parts of the product apart, as real processes: gateways, consumers and APIs over Kafka and a served store."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from uuid import uuid4

from tests.pipeline.product import ROOT, free_port

READY_S_MAX = 300
KEY = "test_" + "k" * 40
SECRET = "s" * 40
TIED = ("setpriv", "--pdeathsig", "KILL")


class Process:
    """One role; it may be killed and started again at the same address."""

    def __init__(self, role, environment, folder):
        self.role = role
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.key = KEY
        self.process = None
        self.environment = {**environment, "METERLINE_PORT": str(self.port)}
        self._output = folder / f"{role}-{self.port}.out"

    def launch(self):
        """Start it; it is ready later."""
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(
                [*TIED, sys.executable, "-m", "deploy.cli", self.role],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the tests, which end what they began.
            )
        return self

    def until_ready(self):
        deadline = time.monotonic() + READY_S_MAX
        while (told := self.health()) is None or not told["ready"]:
            assert self.process.poll() is None, f"it ended:\n{self.output()}"
            assert time.monotonic() < deadline, f"not ready ({told}):\n{self.output()}"
            time.sleep(0.1)
        return self

    def health(self):
        """What it says of itself; None while nothing listens."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=30) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return json.loads(error.read())
        except OSError:
            return None

    def metrics(self):
        """Its samples by name."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """SIGTERM; gives the exit code."""
        if self.process is None or self.process.poll() is not None:
            return None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=120)

    def output(self):
        return self._output.read_text() if self._output.exists() else ""


class Apart:
    """Two of each role that takes requests or events, unless told otherwise; to be used as a context manager."""

    def __init__(
        self, folder, kafka, store_url, *, gateways=2, consumers=2, apis=2, loaders=0, partitions=4, environment=None
    ):
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("METERLINE_")},
            "PYTHONPATH": str(ROOT),
            "METERLINE_DATA_DIR": str(folder / "data"),
            "METERLINE_LOG_URL": f"kafka://{kafka.addresses}/events-{uuid4().hex}?partitions={partitions}",
            "METERLINE_STORE_URL": store_url,
            "METERLINE_REGISTRY_URL": f"sqlite:///{folder}/registry.db",
            "METERLINE_INTERNAL_SECRET": SECRET,
            "METERLINE_BOOTSTRAP_API_KEY": KEY,
            **(environment or {}),
        }
        self.apis = [self._process("api") for _ in range(apis)]
        self.environment["METERLINE_API_URL"] = ",".join(api.url for api in self.apis)
        self.consumers = [self._process("consumer") for _ in range(consumers)]
        self.gateways = [self._process("gateway") for _ in range(gateways)]
        self.loaders = [self._process("loaders") for _ in range(loaders)]

    @property
    def all(self):
        return [*self.apis, *self.consumers, *self.gateways, *self.loaders]

    def __enter__(self):
        try:
            for process in self.all:
                process.launch()
            for process in self.all:
                process.until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.all:
            if process.process is not None and process.process.poll() is None:
                process.kill()

    def command(self, *words, **more):
        """Run another `meterline` command with the same settings."""
        return subprocess.run(
            [sys.executable, "-m", "deploy.cli", *words],
            cwd=ROOT,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def _process(self, role):
        return Process(role, dict(self.environment), self.folder)
