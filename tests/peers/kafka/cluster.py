"""A real Kafka: one broker or three on this machine, each a process that a test may kill, stall and start again.

Every broker is its own controller too (KRaft). Nothing is kept: the folder goes with the test.
"""

import base64
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.peers.kafka.jars import PeerMissingError, kafka_jars

START_S_MAX = 300
STOP_S_MAX = 30
JAVA = ("java", "-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
TIED = ("setpriv", "--pdeathsig", "KILL")
"""A broker goes with the thread that started it, so none outlives a test run that was killed."""
_STARTER = ThreadPoolExecutor(1, thread_name_prefix="starts-brokers")
"""That thread: it lives as long as the test run, whichever thread asks."""
QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"

PROPERTIES = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},SECURE://127.0.0.1:{secure_port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SECURE://127.0.0.1:{secure_port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
  user_{user}="{password}";
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location={certificates}/broker.pem
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=true
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}/data
num.network.threads=2
num.io.threads=2
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor={replicas}
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=16777216
log.segment.bytes=16777216
"""


USER, PASSWORD = "meterline", "correct-horse"


class Broker:
    """One process."""

    def __init__(self, folder, port, secure_port):
        self.folder = folder
        self.port = port
        self.secure_address = f"127.0.0.1:{secure_port}"
        self.address = f"127.0.0.1:{port}"
        self.process = None

    def start(self):
        """Start it, on the data it had."""
        classes = f"{kafka_jars()}/*"
        with (self.folder / "out").open("ab") as output:
            self.process = _STARTER.submit(
                subprocess.Popen,
                [*TIED, *JAVA, QUIET, "-cp", classes, "kafka.Kafka", str(self.folder / "server.properties")],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the tests, which end what they began.
            ).result()

    def wait_until_up(self, deadline):
        """Return once it answers."""
        while True:
            assert self.process.poll() is None, f"the broker ended:\n{(self.folder / 'out').read_text()[-2000:]}"
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                break
            assert time.monotonic() < deadline, "the broker does not listen"
            time.sleep(0.1)
        while True:
            with contextlib.suppress(KafkaException):
                AdminClient({"bootstrap.servers": self.address, "log_level": 0}).list_topics(timeout=2)
                return
            assert time.monotonic() < deadline, "the broker does not answer"

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stall(self):
        """Hold it still, connections open: SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        """Let it go on: SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        """Stop it in order, by force if need be."""
        if self.process is None or self.process.poll() is not None:
            return
        self.go_on()
        self.process.terminate()
        try:
            self.process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()


class Cluster:
    """Brokers that know each other, ready to be used as a context manager."""

    def __init__(self, brokers=1):
        self.folder = Path(tempfile.mkdtemp(prefix="kafka-"))
        ports = _free_ports(3 * brokers)
        voters = ",".join(f"{node}@127.0.0.1:{ports[3 * node - 1]}" for node in range(1, brokers + 1))
        self.ca = _make_certificates(self.folder)
        self.brokers = []
        for node in range(1, brokers + 1):
            folder = self.folder / str(node)
            folder.mkdir()
            port, secure_port, controller_port = ports[3 * node - 3 : 3 * node]
            text = PROPERTIES.format(
                node=node,
                voters=voters,
                port=port,
                secure_port=secure_port,
                controller_port=controller_port,
                folder=folder,
                certificates=self.folder,
                replicas=brokers,
                user=USER,
                password=PASSWORD,
            )
            (folder / "server.properties").write_text(text)
            self.brokers.append(Broker(folder, port, secure_port))

    @property
    def addresses(self):
        """What clients are told."""
        return ",".join(broker.address for broker in self.brokers)

    @property
    def secure_addresses(self):
        """What clients are told who speak TLS and have a password."""
        return ",".join(broker.secure_address for broker in self.brokers)

    def __enter__(self):
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        try:
            for broker in self.brokers:
                self._format(broker, cluster_id)
            self.start(*self.brokers)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for broker in self.brokers:
            if broker.process is not None and broker.process.poll() is None:
                os.kill(broker.process.pid, signal.SIGCONT)
                broker.kill()  # What it holds goes with the folder.
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, *brokers):
        """Start these and wait until they answer."""
        for broker in brokers:
            broker.start()
        deadline = time.monotonic() + START_S_MAX
        for broker in brokers:
            broker.wait_until_up(deadline)

    def _format(self, broker, cluster_id):
        command = [*JAVA, QUIET, "-cp", f"{kafka_jars()}/*", "kafka.tools.StorageTool", "format"]
        command += [f"--cluster-id={cluster_id}", "-c", str(broker.folder / "server.properties")]
        command += ["--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PeerMissingError(f"the Kafka broker cannot be formatted: {(done.stdout + done.stderr)[-300:]}")


def _make_certificates(folder):
    """Make an authority and a broker's certificate; gives the authority's file, and `stranger.pem` is another's."""
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    for name in ("ca", "stranger"):
        _run([*new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem"], folder)
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    asked = ["-newkey", "rsa:2048", "-nodes", "-subj", "/CN=broker", "-keyout", "broker.key", "-out", "broker.csr"]
    _run(["openssl", "req", *asked], folder)
    signed = ["-in", "broker.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
    _run(["openssl", "x509", "-req", *signed, "-extfile", "names", "-out", "broker.crt"], folder)
    (folder / "broker.pem").write_bytes((folder / "broker.key").read_bytes() + (folder / "broker.crt").read_bytes())
    return folder / "ca.pem"


def _run(command, folder):
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def _free_ports(count):
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
