"""The real product under attack: which processes it has, and how each is killed, held still or denied the disk."""

import contextlib
import os
import resource
import signal
import subprocess
import time
from uuid import uuid4

from tests.peers.kafka.cluster import Cluster
from tests.pipeline.product import Product

KEY = "test_" + "k" * 40
READY_S_MAX = 300
THERE_S_MAX = 300
HOLD = 'kill -STOP "$1"; sleep "$2"; kill -CONT "$1"'
_HELD = ("data folder", "cannot be used (Address already in use)")
"""How a start says that parts of the one before are not gone yet."""


class Installation:
    """One product with its log on this machine's disk, or in a Kafka that goes with it (`brokers` above 0)."""

    def __init__(self, folder, *, brokers=0, gateways=2):
        self._folder = folder
        self._brokers = brokers
        self._gateways = gateways
        self.cluster = None
        self.product = None
        self._holds = []
        self._over = False

    @property
    def kinds(self):
        """The kinds of processes there are."""
        return ("gateway", "core", "broker") if self._brokers else ("gateway", "core", "log")

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            environment = {"METERLINE_BOOTSTRAP_API_KEY": KEY}
            if self._brokers:
                self.cluster = stack.enter_context(Cluster(self._brokers))
                topic = f"events-{uuid4().hex}?partitions=4"
                environment["METERLINE_LOG_URL"] = f"kafka://{self.cluster.addresses}/{topic}"
            self.product = Product(self._folder / "data", gateways=self._gateways, environment=environment)
            self.product.spawn()
            stack.callback(self._end)
            self.until_ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def kill(self, kind, chance):
        """kill -9 one process of a kind, once there is one."""
        deadline = time.monotonic() + THERE_S_MAX
        while not (pids := self._pids(kind)):
            assert time.monotonic() < deadline, f"no {kind} was started again:\n{self._said()}"
            time.sleep(0.05)
        pid = chance.choice(pids)
        if kind == "broker":
            next(broker for broker in self.cluster.brokers if broker.process.pid == pid).kill()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill_supervisor(self):
        """kill -9 the supervisor alone: its parts have to leave by themselves."""
        self.product.process.kill()
        self.product.process.wait()

    def kill_all(self):
        """kill -9 everything at once, as a machine that loses power would."""
        self.product.kill_all()
        if self.cluster is not None:
            for broker in self.cluster.brokers:
                broker.kill()

    def revive(self):
        """Start what does not start by itself, and wait until it answers."""
        if self.cluster is not None:
            down = [broker for broker in self.cluster.brokers if broker.process.poll() is not None]
            self.cluster.start(*down)
        if self.product.process.poll() is not None:
            self.product.spawn()
        self.until_ready()

    def until_ready(self):
        """Return once the product says that it is; one that still finds its predecessor's parts is started again."""
        deadline = time.monotonic() + READY_S_MAX
        while not self.product.is_ready():
            assert time.monotonic() < deadline, f"not ready:\n{self._said()}"
            assert not self._over, "the storm ended while it was started again"
            if self.product.process.poll() is not None:
                assert any(words in self._said() for words in _HELD), f"it ended:\n{self._said()}"
                self.product.spawn()
            time.sleep(0.1)

    def hold(self, kind, chance, seconds):
        """Hold a process still (SIGSTOP) for some time, then let it go on.

        Another process does it, so that it goes on even when this one dies: a part held still cannot end.
        """
        pids = self._pids(kind)
        if not pids:
            return False
        words = ["sh", "-c", HOLD, "hold", str(chance.choice(pids)), str(seconds)]
        self._holds.append(subprocess.Popen(words, stderr=subprocess.DEVNULL, start_new_session=True))
        return True

    def until_none_is_held(self):
        """Return once all that was held still goes on."""
        for process in self._holds:
            process.wait()
        self._holds.clear()

    def deny_disk(self, kind, chance):
        """Let no file of a process grow beyond some bytes from now on, so that writes fail, maybe half way."""
        size = chance.choice((0, 1, 100, 4_096, 100_000))
        if kind == "log":
            segments = (self._folder / "data" / "log").glob("*.segment")
            size += max((path.stat().st_size for path in segments), default=0)
        return self._limit_files(kind, size)

    def grant_disk(self):
        """Take every such limit back."""
        for kind in self.kinds:
            if kind != "broker":
                self._limit_files(kind, resource.RLIM_INFINITY)

    def _limit_files(self, kind, size):
        pids = self._pids(kind)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, most))
        return bool(pids)

    def _pids(self, kind):
        if kind == "broker":
            return [broker.process.pid for broker in self.cluster.brokers if broker.process.poll() is None]
        return self.product.parts()[kind]

    def _said(self):
        return self.product.output()[-4_000:]

    def _end(self):
        self._over = True
        self.until_none_is_held()
        if self.product.process.poll() is None:
            self.product.kill_all()  # What it holds goes with the folder.


def a_hold_s(chance):
    """Seconds to hold something still: short ones, and some beyond the ten seconds after which a group evicts."""
    return round(chance.choice((chance.uniform(0.5, 4), chance.uniform(11, 14))), 1)
