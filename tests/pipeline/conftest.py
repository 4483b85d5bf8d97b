import os
from pathlib import Path

import pytest
from tests.pipeline.product import Product

TRACE_DIR = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture
def product(tmp_path):
    """The whole product, ready, with two gateways."""
    started = Product(tmp_path / "data").start()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def trace_dir():
    """Where the real trace lies; without it these tests are skipped, but never in CI."""
    if not TRACE_DIR.is_dir() and not os.environ.get("CI"):
        pytest.skip(f"no trace at {TRACE_DIR}")
    assert TRACE_DIR.is_dir(), f"the trace must lie at {TRACE_DIR}"
    return TRACE_DIR
