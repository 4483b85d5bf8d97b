"""One run of each test for each peer that can show it."""

from importlib import import_module

import pytest

from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.opening import open_source
from tests.loaders.contract.peers import EXEMPT, PEERS


def pytest_generate_tests(metafunc):
    if "peer" in metafunc.fixturenames:
        asked = metafunc.function.__name__
        shown = [name for name in PEERS if (name, asked) not in EXEMPT]
        metafunc.parametrize("peer", shown, indirect=True, scope="session")


@pytest.fixture(scope="session")
def peer(request):
    """A running system."""
    with import_module(f"tests.loaders.contract.{request.param}_peer").Peer() as started:
        yield started


@pytest.fixture
def opened(peer):
    """Open a source at an address of the peer, the reader's if none is given; it is closed with the test."""
    sources = []

    def open_one(address=None, **limits):
        sources.append(open_source(address or peer.address(), HostPolicy(), SourceLimits(**limits)))
        return sources[-1]

    yield open_one
    for source in sources:
        source.close()
