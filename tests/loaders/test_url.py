"""What the URL of a database may say, and what it may not."""

import ipaddress

import pytest

from loaders.errors import SourceDeniedError
from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.opening import open_source
from loaders.provider import Address, Provider
from loaders.sources import mysql, postgres
from loaders.sources.url import database_url

PASSWORD = "s3cret-w0rd"


def _opened(url):
    provider = Provider.MYSQL if url.startswith("mysql") else Provider.POSTGRES
    return open_source(Address(provider, url), HostPolicy(), SourceLimits())


def test_parts_are_decoded():
    """As the user wrote them, percent-encoded."""
    url = database_url(
        "postgres://us%40er:p%2Fw%23@db.example.com:5433/my%20db?sslmode=require",
        schemes=("postgres",),
        port=5432,
        options={"sslmode": ("require",)},
        example="",
    )
    assert (url.host, url.port, url.user, url.password) == ("db.example.com", 5433, "us@er", "p/w#")
    assert (url.database, url.options) == ("my db", {"sslmode": "require"})


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://u:{}@h/d", "begins with http://"),
        ("postgres:///d?host=/var/run/postgresql", "one host"),
        ("postgres://u:{}@%2Fvar%2Frun%2Fpostgresql/d", "no socket"),
        ("postgres://u:{}@a,b/d", "no socket or list"),
        ("postgres://u:{}@h/d?host=/tmp", "option host is not allowed"),
        ("postgres://u:{}@h/d?hostaddr=10.0.0.1", "option hostaddr is not allowed"),
        ("postgres://u:{}@h/d?sslrootcert=/etc/passwd", "option sslrootcert is not allowed"),
        ("postgres://u:{}@h/d?sslcert=/etc/x&sslkey=/etc/y", "option sslcert is not allowed"),
        ("postgres://u:{}@h/d?passfile=/etc/passwd", "option passfile is not allowed"),
        ("postgres://u:{}@h/d?service=x", "option service is not allowed"),
        ("postgres://u:{}@h/d?options=-c%20statement_timeout%3D0", "option options is not allowed"),
        ("postgres://u:{}@h/d?sslmode=maybe", "sslmode can be one of disable"),
        ("postgres://u:{}@h/d?sslmode=require&sslmode=disable", "sslmode can be one of"),
        ("postgres://h/d", "names no user"),
        ("postgres://u:{}@h:99999/d", "cannot be read"),
        ("postgres://u:{}@h/d/e", "more after the database's name"),
        ("postgres://u:{}@h/d#e", "more after the database's name"),
        ("postgres://u:{}@h/a%00b", "control character"),
        ("mysql://u:{}@h/d?unix_socket=/run/mysqld.sock", "option unix_socket is not allowed"),
        ("mysql://u:{}@h/d?ssl_ca=/etc/passwd", "option ssl_ca is not allowed"),
        ("mysql://u:{}@h/d?read_default_file=/root/.my.cnf", "option read_default_file is not allowed"),
        ("mysql://u:{}@h/d?local_infile=1", "option local_infile is not allowed"),
    ],
)
def test_what_could_open_a_file_of_ours_or_go_elsewhere_is_refused(url, words):
    """The message names the part, and never the password."""
    with pytest.raises(SourceDeniedError) as denied:
        _opened(url.format(PASSWORD))
    assert words in str(denied.value)
    assert PASSWORD not in repr(denied.value)


@pytest.mark.parametrize("provider", [Provider.POSTGRES, Provider.MYSQL])
def test_a_host_that_the_operator_forbids_is_not_connected_to(provider):
    """By its address, whatever its name is."""
    policy = HostPolicy(deny=(ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")))
    source = open_source(Address(provider, f"{provider}://u:{PASSWORD}@localhost:1/d"), policy, SourceLimits())
    with pytest.raises(SourceDeniedError, match="operator"):
        source.ping()


@pytest.mark.parametrize("module", [postgres, mysql])
def test_a_password_in_a_message_is_blanked(module):
    """Whoever put it there: a driver that repeats its arguments, or a server that repeats what it was sent."""
    scheme = "postgres" if module is postgres else "mysql"
    source = _opened(f"{scheme}://u:{PASSWORD}@h/d")
    assert PASSWORD not in source._url.without_password(f"the password {PASSWORD} is wrong")
    assert PASSWORD not in repr(source._url)
