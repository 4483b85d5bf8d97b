"""The BigQuery source in front of somebody else's emulator: opt-in, see `tests/peers/README.md`."""

import os

import pytest

from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.provider import Address, Provider
from loaders.sources.bigquery import open_source

EMULATOR = os.environ.get("METERLINE_BIGQUERY_EMULATOR")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not EMULATOR, reason="opt-in: METERLINE_BIGQUERY_EMULATOR names no emulator"),
]


@pytest.fixture
def source():
    address = Address(Provider.BIGQUERY, credentials={"api_endpoint": EMULATOR, "project": "acme-usage"})
    one = open_source(address, HostPolicy(), SourceLimits())
    yield one
    one.close()


def test_the_emulator_lets_us_in(source):
    assert list(source.ping()) == []


def test_all_rows_of_a_query_come_once_with_their_types(source):
    query = """
        SELECT n AS id, CONCAT('customer ', CAST(MOD(n, 100) AS STRING)) AS customerId,
               TIMESTAMP_ADD(TIMESTAMP '2026-01-01 00:00:00+00', INTERVAL n SECOND) AS timestamp,
               CAST('1.5' AS NUMERIC) AS exact
        FROM UNNEST(GENERATE_ARRAY(1, 2500)) AS n WHERE n > {{cursor}} ORDER BY n
    """
    pages = list(source.pages(query, {"cursor": 1}, page_rows_max=1000))
    assert [cell for page in pages for cell in page.cells[0]] == [str(number) for number in range(2, 2501)]
    first = dict(zip((column.name for column in pages[0].columns), (cells[0] for cells in pages[0].cells), strict=True))
    assert first["timestamp"] == '"2026-01-01T00:00:02.000000Z"'
    assert first["exact"] == "1.5"
