"""What the stand-in of MongoDB lacks and FerretDB has: users, and the results of aggregates in batches."""

import pytest

from loaders.errors import SourceDeniedError, SourceUnavailableError
from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.opening import open_source
from loaders.provider import Address, Provider
from tests.peers.mongo.ferretdb import DATABASE, FerretDb, is_to_be_had

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(not is_to_be_had(), reason="FerretDB is built by Go (1.24 or newer), which no set-up installs"),
]
ROWS = 5000
PLAIN = '{"collection": "orders", "aggregate": [{"$match": {"n": {"$gte": 0}}}, {"$project": {"_id": 0, "id": 1}}]}'


@pytest.fixture(scope="module")
def server():
    """One for all tests of this file."""
    with FerretDb() as started:
        with started.client() as client:
            client[DATABASE].orders.insert_many({"_id": n, "id": n, "n": n} for n in range(ROWS))
        yield started


@pytest.fixture
def source(server):
    """As its user."""
    opened = open_source(Address(Provider.MONGODB, server.url()), HostPolicy(), SourceLimits())
    yield opened
    opened.close()


def test_a_wrong_password_is_denied_and_told_without_it(server):
    """By a server that holds it against the right one (SCRAM)."""
    address = Address(Provider.MONGODB, server.url("wr0ng-passw0rd"))
    source = open_source(address, HostPolicy(), SourceLimits())
    with pytest.raises(SourceDeniedError, match="authSource") as denied:
        source.ping()
    assert "wr0ng" not in repr(denied.value)
    source.close()


def test_an_aggregate_comes_in_batches_once_each(source):
    """The pages join without a seam."""
    pages = list(source.pages(PLAIN, {}, page_rows_max=700))
    assert len(pages) > ROWS // 700
    assert sorted(int(cell) for page in pages for cell in page.cells[0]) == list(range(ROWS))


def test_a_cursor_is_bound_in_an_aggregate(source):
    """As the number it is."""
    query = '{"collection": "orders", "aggregate": [{"$match": {"n": {"$gt": "{{cursor}}"}}}]}'
    assert sum(page.rows for page in source.pages(query, {"cursor": ROWS - 11}, page_rows_max=700)) == 10


def test_an_aggregate_whose_server_is_killed_is_an_error_and_never_an_end(server, source):
    """And the next run reads all of it."""
    pages = source.pages(PLAIN, {}, page_rows_max=100)
    next(pages)
    server.kill()
    try:
        with pytest.raises(SourceUnavailableError):
            list(pages)
    finally:
        server.start()
    assert sum(page.rows for page in source.pages(PLAIN, {}, page_rows_max=700)) == ROWS
