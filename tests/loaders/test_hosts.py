"""An operator says which hosts users' connections may reach."""

import ipaddress

import pytest

from loaders.errors import SourceDeniedError, SourceUnavailableError
from loaders.hosts import HostPolicy, parse_listed

PUBLIC = HostPolicy(private=False)
NETWORK = ipaddress.ip_network


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST.",
        "10.1.2.3",
        "100.64.0.1",
        "0.0.0.0",
        "::",
        "::1",
        "[::1]",
        "fe80::1",
        "fd12::1",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "::ffff:10.0.0.1",
        "::10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::10.0.0.1",
        "2002:a00:1::1",
        "2001:0:a00:1::",
    ],
)
def test_what_is_not_public_is_refused_when_the_operator_says_so(host):
    with pytest.raises(SourceDeniedError):
        PUBLIC.pinned(host, 5432)


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"]
)
def test_what_is_public_is_reached(host):
    assert PUBLIC.pinned(host, 5432)


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0177.0.0.1", "0x7f000001", "127.0.0.1.5", "256.1.1.1"])
def test_a_number_that_programs_read_differently_is_refused(host):
    with pytest.raises(SourceDeniedError, match="four decimal numbers"):
        HostPolicy().pinned(host, 5432)


@pytest.mark.parametrize("host", ["", ".", "a..b", "x" * 64, "ü" * 64])
def test_what_is_no_name_is_told(host):
    with pytest.raises(SourceDeniedError, match="no name"):
        HostPolicy().pinned(host, 5432)


def test_all_is_reached_by_default():
    assert HostPolicy().pinned("127.0.0.1", 5432) == ["127.0.0.1"]
    assert HostPolicy().pinned("::1", 5432) == ["::1"]


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.170.2",
        "fd00:ec2::254",
        "100.100.100.200",
        "64:ff9b::a9fe:a9fe",
        "::ffff:169.254.169.254",
    ],
)
def test_where_clouds_keep_credentials_is_refused_however_much_is_allowed(host):
    for policy in (HostPolicy(), HostPolicy(allow=(NETWORK("0.0.0.0/0"), NETWORK("::/0"), host))):
        with pytest.raises(SourceDeniedError, match="credentials"):
            policy.pinned(host, 5432)


def test_an_operator_may_allow_an_address_there_by_its_own_network():
    policy = HostPolicy(allow=(NETWORK("169.254.1.0/24"),))
    assert policy.pinned("169.254.1.7", 5432) == ["169.254.1.7"]
    with pytest.raises(SourceDeniedError):
        policy.pinned("169.254.169.254", 5432)


def test_what_is_allowed_wins():
    inner = HostPolicy(private=False, allow=(NETWORK("10.0.0.0/8"),))
    assert inner.pinned("10.1.2.3", 5432) == ["10.1.2.3"]
    with pytest.raises(SourceDeniedError):
        inner.pinned("192.168.1.1", 5432)


@pytest.mark.parametrize("host", ["LOCALHOST", "localhost.", " localhost "])
def test_a_denied_name_is_refused_however_it_is_written_and_others_are_not(host):
    policy = HostPolicy(deny=("localhost",))
    with pytest.raises(SourceDeniedError, match="localhost"):
        policy.pinned(host, 5432)
    assert policy.pinned("127.0.0.1", 5432)


def test_a_denied_network_is_refused_by_any_address_that_leads_there():
    policy = HostPolicy(deny=(NETWORK("192.0.2.0/24"),))
    for host in ("192.0.2.7", "::ffff:192.0.2.7", "64:ff9b::192.0.2.7"):
        with pytest.raises(SourceDeniedError, match="operator's list"):
            policy.pinned(host, 5432)


def test_an_unknown_name_is_told():
    with pytest.raises(SourceUnavailableError, match=r"nowhere\.invalid"):
        HostPolicy().pinned("nowhere.invalid", 5432)


def test_entries_are_networks_addresses_and_names_in_one_form():
    assert parse_listed(" 10.0.0.0/8") == NETWORK("10.0.0.0/8")
    assert parse_listed("::1") == NETWORK("::1/128")
    assert parse_listed("10.0.0.1") == NETWORK("10.0.0.1/32")
    assert parse_listed("DB.Example.com.") == "db.example.com"
    assert parse_listed(".Bücher.example") == ".xn--bcher-kva.example"


@pytest.mark.parametrize("text", ["", ".", "10.0.0.1/8", "10.0.0", "db example", "db:5432", "*.example.com"])
def test_an_entry_that_is_none_of_them_is_refused(text):
    with pytest.raises(ValueError, match=r"\S"):
        parse_listed(text)
