"""The whole product as its users start it, for tests: `meterline up` in a folder of its own, on a free port."""

import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import aiohttp

from metering.http.json import loads

ROOT = Path(__file__).parents[2]
READY_S_MAX = 600
ANSWER_S_MAX = 300
STOPPED_S_MAX = 300
TIED = ("setpriv", "--pdeathsig", "KILL")
"""It goes with the thread that started it, and its parts with it: none outlives a test run that was killed."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Product:
    """One installation; it may be started, killed and started again."""

    def __init__(self, data_dir, *, gateways=2, port=None, environment=None):
        self.data_dir = Path(data_dir)
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.key = None
        self.process = None
        self._output = self.data_dir.parent / f"{self.data_dir.name}.out"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("METERLINE_")},
            "METERLINE_DATA_DIR": str(self.data_dir),
            "METERLINE_PORT": str(self.port),
            "METERLINE_GATEWAY_WORKERS": str(gateways),
            "PYTHONPATH": str(ROOT),
            **(environment or {}),
        }

    def command(self, *words):
        """Run another `meterline` command on this installation; gives what it printed."""
        return subprocess.run(
            [sys.executable, "-m", "deploy.cli", *words],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def spawn(self, output=None):
        """Start without waiting. What it says goes to `output()`, or to another file."""
        with Path(output or self._output).open("ab") as said:
            self.process = subprocess.Popen(
                [*TIED, sys.executable, "-m", "deploy.cli", "up"],
                cwd=ROOT,
                env=self._environment,
                stdout=said,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    def is_ready(self):
        """Tell whether it answers questions now."""
        try:
            with urllib.request.urlopen(self.url + "/readyz", timeout=2) as answer:
                return answer.status == 200
        except (OSError, http.client.HTTPException):
            return False

    def start(self):
        """Start and wait until it is ready."""
        begun = len(self.output())
        self.spawn()
        deadline = time.monotonic() + READY_S_MAX
        while "Ctrl-C stops" not in self.output()[begun:]:
            assert self.process.poll() is None, f"it ended:\n{self.output()}"
            assert time.monotonic() < deadline, f"not ready:\n{self.output()}"
            time.sleep(0.05)
        found = re.search(r"shown this once:\s+(\w+)", self.output())
        assert found or self.key, self.output()
        self.key = found[1] if found else self.key
        return self

    def start_with(self, key):
        """Start where the first key was shown elsewhere: on restored data."""
        self.key = key
        return self.start()

    def output(self):
        return self._output.read_text() if self._output.exists() else ""

    def parts(self):
        """Process ids of the parts alive now, by kind: {"core": [..], "log": [..], "gateway": [..], …}."""
        found = {"core": [], "log": [], "gateway": [], "spool": [], "loaders": []}
        children = subprocess.run(
            ["ps", "--ppid", str(self.process.pid), "-o", "pid=,args="], capture_output=True, text=True, check=False
        ).stdout
        for line in children.splitlines():
            pid, _, command = line.strip().partition(" ")
            kind = re.search(r'"kind":"(\w+)"', command)
            if kind:
                found[kind[1]].append(int(pid))
        return found

    def kill_part(self, kind, index=0):
        """kill -9 one part; tells whether it was there."""
        pids = self.parts()[kind]
        if not pids:
            return False
        os.kill(pids[index % len(pids)], signal.SIGKILL)
        return True

    def kill_all(self):
        """kill -9 the supervisor and every part at once, as a machine that loses power would."""
        parts = [pid for pids in self.parts().values() for pid in pids]
        self.process.kill()  # First, so that it starts none again.
        for pid in parts:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """Ctrl-C; gives the exit code."""
        if self.process is None or self.process.poll() is not None:
            return None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=STOPPED_S_MAX)


class Client:
    """A client that sends the same bytes again until it has an answer, as the promise says it may."""

    def __init__(self, product, key=None):
        self.url = product.url
        self.headers = {"Authorization": f"Bearer {key or product.key}"}

    async def __aenter__(self):
        self.session = aiohttp.ClientSession(headers=self.headers, timeout=aiohttp.ClientTimeout(total=30))
        return self

    async def __aexit__(self, *_):
        await self.session.close()

    async def send(self, events):
        """Send a batch until it is acknowledged; gives the answer."""
        body = json.dumps(events, separators=(",", ":")).encode()
        headers = {"Content-Type": "application/json", "Prefer": "return=minimal"}
        deadline = time.monotonic() + ANSWER_S_MAX
        while time.monotonic() < deadline:
            try:
                async with self.session.post(self.url + "/v1/events/batch", data=body, headers=headers) as answer:
                    text = await answer.read()
                    if answer.status == 201:
                        return loads(text)
                    assert answer.status == 503, (answer.status, text)
                    assert "Retry-After" in answer.headers
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.05)
        raise AssertionError("never acknowledged")

    async def call(self, method, path, value=None, *, expect=(200, 201), headers=None):
        """Ask, with 503 and broken connections tried again; gives the decoded answer."""
        body = None if value is None else json.dumps(value).encode()
        sent = {"Content-Type": "application/json", **(headers or {})} if body is not None else headers
        deadline = time.monotonic() + ANSWER_S_MAX
        while time.monotonic() < deadline:
            try:
                async with self.session.request(method, self.url + path, data=body, headers=sent) as answer:
                    text = await answer.read()
                    if answer.status != 503:
                        assert answer.status in expect, (method, path, answer.status, text)
                        self.answer_headers = answer.headers
                        return loads(text) if text else None
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.05)
        raise AssertionError(f"{method} {path}: never answered")

    async def get(self, path):
        return await self.call("GET", path)

    async def until_applied(self):
        for _ in range(2400):
            if (await self.get("/v1/ingest/lag"))["lag_events"] == 0:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("never applied")
