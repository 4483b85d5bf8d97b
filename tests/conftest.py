"""What every test may ask for.

The engine runs once in a process and has one path, so all tests of a process share one store; a test stays apart
from the others by working in a `world` of its own.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from metering.ids import new_id
from metering.store.client import Store
from metering.store.migrations import migrate
from metering.world import Mode, World
from tests.peers.clickhouse.process import ClickHouse
from tests.peers.kafka.cluster import Cluster
from tests.pipeline.product import Product

# How long one example takes says more of the machine at that moment than of the code.
settings.register_profile("meterline", deadline=None)
settings.load_profile("meterline")

TRACE_DIR = Path(__file__).parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A real, migrated, embedded store."""
    opened = Store.open(f"chdb://{tmp_path_factory.mktemp('store')}")
    migrate(opened)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def clickhouse() -> Iterator[ClickHouse]:
    """ClickHouse's HTTP interface in front of the real engine, in a process of its own."""
    with ClickHouse() as server:
        yield server


@pytest.fixture(scope="session")
def served_store(clickhouse: ClickHouse) -> Iterator[Store]:
    """A migrated store that is reached over HTTP, as a server is."""
    opened = Store.open(clickhouse.url)
    migrate(opened)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def kafka() -> Iterator[Cluster]:
    """A real Kafka broker that all tests of a process share; a test stays apart by a topic of its own."""
    with Cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def _killable_kafka() -> Iterator[Cluster]:
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def own_kafka(_killable_kafka: Cluster) -> Cluster:
    """A real Kafka broker that a test may kill and stall: it is up when a test begins. Topics are the test's own."""
    for broker in _killable_kafka.brokers:
        if broker.process.poll() is None:
            broker.go_on()
        else:
            _killable_kafka.start(broker)
    return _killable_kafka


@pytest.fixture(autouse=True)
def _short_cutoffs(request: pytest.FixtureRequest) -> None:
    """Forget the lanes of earlier tests: each has its own, and a cut-off names every lane in the request's line."""
    if "tests/metering/api/" in request.path.as_posix() or "tests/billing/api/" in request.path.as_posix():
        request.getfixturevalue("store").command("TRUNCATE TABLE applied")


@pytest.fixture
def world() -> World:
    """A world that no other test knows."""
    return World(new_id("acc"), Mode.TEST)


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    """The whole product, ready, with two gateways, in a folder of its own."""
    started = Product(tmp_path / "data").start()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def trace_dir() -> Path:
    """Where the real trace lies; without it these tests step aside, but never in CI."""
    if not TRACE_DIR.is_dir() and not os.environ.get("CI"):
        pytest.skip(f"no trace at {TRACE_DIR}")
    assert TRACE_DIR.is_dir(), f"the trace must lie at {TRACE_DIR}"
    return TRACE_DIR
