"""An operator says which hosts users' connections may reach."""

import ipaddress

import pytest

from loaders.errors import SourceDeniedError, SourceUnavailableError
from loaders.hosts import HostPolicy

PUBLIC = HostPolicy(private=False)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:10.0.0.1", "100.64.0.1", "2130706433"],
)
def test_what_is_not_public_is_refused_when_the_operator_says_so(host):
    with pytest.raises(SourceDeniedError):
        PUBLIC.pinned(host, 5432)


def test_all_is_reached_by_default():
    assert HostPolicy().pinned("127.0.0.1", 5432) == ["127.0.0.1"]


def test_what_is_allowed_wins():
    inner = HostPolicy(private=False, allow=(ipaddress.ip_network("10.0.0.0/8"),))
    assert inner.pinned("10.1.2.3", 5432) == ["10.1.2.3"]
    with pytest.raises(SourceDeniedError):
        inner.pinned("192.168.1.1", 5432)


def test_a_denied_name_is_refused_and_others_are_not():
    policy = HostPolicy(deny=("localhost",))
    with pytest.raises(SourceDeniedError, match="localhost"):
        policy.pinned("LOCALHOST", 5432)
    assert policy.pinned("127.0.0.1", 5432)


def test_an_unknown_name_is_told():
    with pytest.raises(SourceUnavailableError, match=r"nowhere\.invalid"):
        HostPolicy().pinned("nowhere.invalid", 5432)
