"""What every test may ask for.

The engine runs once in a process and has one path, so all tests of a process share one store; a test stays apart
from the others by working in a `world` of its own.
"""

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import tests.tables  # noqa: F401 - declares every table of the registry.
from metering.ids import new_id
from metering.registry.engine import Registry
from metering.registry.migrate import migrate as migrate_registry
from metering.registry.tables import metadata
from metering.store.client import Store
from metering.store.migrations import migrate
from metering.world import Mode, World
from tests.peers.clickhouse.process import ClickHouse
from tests.peers.kafka.cluster import Cluster
from tests.peers.mariadb.server import MariaDb
from tests.peers.postgres.server import Postgres
from tests.pipeline.product import Product

# How long one example takes says more of the machine at that moment than of the code.
settings.register_profile("meterline", deadline=None)
settings.load_profile("meterline")


def pytest_collection_finish() -> None:
    """Let the collector pass over what stays until the end, imports and tests: a fifth of the time else."""
    gc.collect()
    gc.freeze()


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
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL that all tests of a process share; a test stays apart by a database of its own."""
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """A real MariaDB that all tests of a process share; a test stays apart by a database of its own."""
    with MariaDb() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_registry(postgres: Postgres) -> str:
    """The address of a migrated registry, shared by all tests of a process."""
    url = postgres.url(postgres.database())
    registry = Registry(url)
    migrate_registry(registry)
    registry.close()
    return url


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SQLite's file of a migrated registry without a row, to be copied: migrating takes a tenth of a second."""
    path = tmp_path_factory.mktemp("registry") / "registry.db"
    registry = Registry(f"sqlite:///{path}")
    migrate_registry(registry)
    registry.close()
    return path


@pytest.fixture
def sqlite_registry(migrated_file: Path, tmp_path: Path) -> Iterator[Registry]:
    """A migrated registry without a row, in a file of its own."""
    opened = Registry(f"sqlite:///{shutil.copy(migrated_file, tmp_path)}")
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def registry(request: pytest.FixtureRequest) -> Iterator[Registry]:
    """A migrated registry without a row; whoever asks for it is tested on both databases."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_registry")
        return
    opened = Registry(_emptied(request))
    yield opened
    opened.close()


def _emptied(request: pytest.FixtureRequest) -> str:
    """Give PostgreSQL's registry, emptied: quicker than a new one by far."""
    url: str = request.getfixturevalue("postgres_registry")
    registry = Registry(url)
    with registry.writing() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    registry.close()
    return url


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
    if any(folder in request.path.as_posix() for folder in ("metering/api/", "billing/api/", "deploy/prices/")):
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
